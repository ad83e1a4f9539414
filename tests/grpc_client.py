"""What grpcio sees of each error: code, message, details, advice. Run by grpc_python.rs.

    grpc_client.py ADDRESS ERRORS_JSON
"""

import json
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

address, catalogue = sys.argv[1:]
channel = grpc.insecure_channel(address)
# the messages are all their defaults, which protobuf writes as nothing
hello = channel.unary_unary("/greeter.v1.Greeter/Hello")
count = channel.unary_stream("/greeter.v1.Greeter/Count")
checked = 0


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


def check(call, entry, in_mid_stream=False):
    global checked
    what, metadata = entry["code"], dict(call.trailing_metadata() or ())
    assert call.code().name == entry["grpc"], (what, call.code())
    assert call.details() == entry["message"], (what, call.details())
    status = rpc_status.from_call(call)
    assert status is not None and status.code == call.code().value[0], what
    details = {}
    for any_detail in status.details:
        name = any_detail.type_url.rsplit(".", 1)[1]
        detail = getattr(error_details_pb2, name)()
        assert any_detail.Unpack(detail), name
        assert name not in details, f"{what} has {name} twice"
        details[name] = detail
    assert details["ErrorInfo"].reason == what
    if not in_mid_stream:
        assert details["ErrorInfo"].domain == "greeter.v1.Greeter", what
        assert details["RequestInfo"].request_id == metadata["x-request-id"], what
    waits = what in ("RATE_LIMITED", "UNAVAILABLE")
    assert ("RetryInfo" in details) == waits, what
    if waits:
        assert details["RetryInfo"].retry_delay.ToMilliseconds() == 1500
        assert metadata["retry-after"] == "2", metadata
    quota = what == "RATE_LIMITED"
    assert ("QuotaFailure" in details) == quota, what
    if quota:
        assert details["QuotaFailure"].violations[0].quota_id == "daily"
    assert ("BadRequest" in details) == (what == "VALIDATION_ERROR"), what
    if "BadRequest" in details:
        violation = details["BadRequest"].field_violations[0]
        assert (violation.field, violation.reason) == ("items[0].price", "TOO_SMALL")
    assert ("www-authenticate" in metadata) == (what == "UNAUTHENTICATED"), what
    assert "hunter2" not in str(status) and "hunter2" not in str(metadata), what
    checked += 1


with open(catalogue, encoding="utf-8") as file:
    errors = json.load(file)["errors"]
for entry in errors:
    for by in ("x-refuse", "x-fail"):
        metadata = ((by, entry["code"]),)
        check(failure(lambda: hello(b"", metadata=metadata, timeout=30)), entry)
        check(failure(lambda: next(count(b"", metadata=metadata, timeout=30))), entry)
    replies = count(b"", metadata=(("x-fail-later", entry["code"]),), timeout=30)
    assert (next(replies), next(replies)) == (b"\x08\x01", b"\x08\x02")
    check(failure(lambda: next(replies)), entry, in_mid_stream=True)
# more to say than fits into header fields: the status comes anyway
for call in (hello, lambda *args, **rest: next(count(*args, **rest))):
    much = failure(lambda: call(b"", metadata=(("x-refuse", "MUCH"),), timeout=30))
    assert much.code() == grpc.StatusCode.INVALID_ARGUMENT, much
    assert rpc_status.from_call(much) is not None
assert hello(b"", timeout=30) == b""
print(f"{checked} failures of {len(errors)} codes are as they should be")
