"""What grpcio sees of a message over the limit in a running call. Run by grpc_python.rs.

    grpc_bodies.py ADDRESS METHOD LIMIT
"""

import queue
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

address, method, limit = sys.argv[1], sys.argv[2], int(sys.argv[3])
talk = grpc.insecure_channel(address).stream_stream(method)
notes = queue.Queue()
call = talk(iter(notes.get, None), timeout=30)


def note(length):
    """Returns a message with one field of so many bytes."""
    return bytes([0x0A, length & 0x7F | 0x80, length >> 7]) + b"x" * length


assert next(call) == b"", "the response has begun"
for _ in range(5):
    notes.put(note(limit - 10))
    assert next(call) == note(limit - 10)
notes.put(note(limit + 1))
try:
    next(call)
    raise AssertionError("the call did not fail")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
    status = rpc_status.from_call(error)
reasons = []
for detail in status.details:
    info = error_details_pb2.ErrorInfo()
    if detail.Unpack(info):
        reasons.append(info.reason)
assert reasons == ["PAYLOAD_TOO_LARGE"], reasons
print("the status is as it should be")
