//! The work for a rejected body, in instructions that callgrind counts: at most ten times that of reading the same bytes as a
//! `serde_json::Value`, and linear in their number. Both are counted without optimizations.

use std::{collections::BTreeMap, fs, net::IpAddr, num::NonZeroU8, path::Path, process::Command};

use garde::Validate;
use palisade_validate::Validation;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[allow(dead_code)]
struct Items {
    #[garde(dive)]
    items: Vec<Item>,
}

/// A struct with a rule, a special type, a union, and a field of its own type.
#[derive(Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[allow(dead_code)]
struct Item {
    #[garde(range(min = 1))]
    a: u32,
    #[garde(skip)]
    #[serde(default = "loopback")]
    #[cfg_attr(feature = "schemars", schemars(with = "IpAddr"))]
    address: IpAddr,
    #[garde(dive)]
    shape: Option<Shape>,
    #[garde(dive)]
    inner: Option<Box<Items>>,
}

#[derive(Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(tag = "kind")]
#[allow(dead_code)]
enum Shape {
    Circle {
        #[garde(range(min = 1.0))]
        radius: f64,
    },
    Group {
        #[garde(dive)]
        shapes: Vec<Shape>,
    },
}

fn loopback() -> IpAddr {
    IpAddr::from([127, 0, 0, 1])
}

/// A struct with many fields that end its reading, so that it is read several times.
#[derive(Deserialize, Validate)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[garde(allow_unvalidated)]
#[allow(dead_code)]
struct Special {
    numbers: Vec<u32>,
    a: IpAddr,
    b: IpAddr,
    c: IpAddr,
    d: NonZeroU8,
    e: NonZeroU8,
    f: BTreeMap<u8, String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Items,
    Special,
}

/// Bodies of about this size, each with a name and its type.
fn bodies(size: usize) -> Vec<(&'static str, Type, String)> {
    let list = |item: &str| vec![item; (size / (item.len() + 1)).max(1)].join(",");
    let items = |item: &str| format!("{{\"items\":[{}]}}", list(item));
    let field = |at: usize| format!("\"x{at}\":0");
    let unknown = format!("{{{}}}", (0..400).map(field).collect::<Vec<_>>().join(","));
    let wide = format!("{{{}}}", (0..size / 12).map(field).collect::<Vec<_>>().join(","));
    let nested = |depth: usize| {
        "{\"items\":[{\"a\":1,\"inner\":".repeat(depth)
            + &items("{\"a\":\"\"}")
            + &"}]}".repeat(depth)
    };
    let circle = "{\"kind\":\"Circle\",\"radius\":\"1\"}";
    let group = format!("{{\"a\":1,\"shape\":{{\"kind\":\"Group\",\"shapes\":[{circle}]}}}}");
    let fields = "\"a\":\"\",\"b\":\"\",\"c\":1,\"d\":0,\"e\":0,\"f\":{\"x\":1}";
    let values = |value: &str| format!("{{\"numbers\":[{}],{fields}}}", list(value));
    vec![
        ("[],", Type::Items, items("[]")),
        ("{\"a\":0},", Type::Items, items("{\"a\":0}")),
        ("a list in place of an object", Type::Items, format!("[{}]", list("[]"))),
        ("{},", Type::Items, items("{}")),
        ("0,", Type::Items, items("0")),
        ("400 unknown fields", Type::Items, items(&unknown)),
        ("one object of unknown fields", Type::Items, wide),
        ("deep", Type::Items, nested(14)),
        ("deeper", Type::Items, nested(18)),
        ("a deep text", Type::Items, {
            let text = "{\"items\":[{\"a\":1,\"inner\":".repeat(18);
            text + "{\"items\":[{\"a\":1,\"address\":\""
                + &"x".repeat(size)
                + "\"}]}"
                + &"}]}".repeat(18)
        }),
        ("unions", Type::Items, items(&group)),
        ("addresses", Type::Items, items("{\"a\":1,\"address\":\"nowhere\"}")),
        ("fields that end the reading", Type::Special, values("1")),
        ("fields that end the reading of large numbers", Type::Special, values("1000000")),
        ("fields that end the reading of texts", Type::Special, values("\"\"")),
        (
            "missing fields that end the reading",
            Type::Special,
            format!("{{\"numbers\":[{}]}}", list("1")),
        ),
    ]
}

const SIZES: [usize; 3] = [2 * 1024, 4 * 1024, 16 * 1024];

const WAYS: &[&str] = &[
    "by type",
    #[cfg(feature = "schemars")]
    "by schema",
];

fn read(of: Type, way: &str, settings: &Validation, body: &[u8]) {
    let is_rejected = match (of, way) {
        (Type::Items, "by type") => settings.json::<Items>(body).is_err(),
        (Type::Special, "by type") => settings.json::<Special>(body).is_err(),
        #[cfg(feature = "schemars")]
        (Type::Items, _) => settings.json_by_schema::<Items>(body).is_err(),
        #[cfg(feature = "schemars")]
        (Type::Special, _) => settings.json_by_schema::<Special>(body).is_err(),
        #[cfg(not(feature = "schemars"))]
        _ => false,
    };
    assert!(is_rejected, "a body that is rejected");
}

/// Callgrind writes the count when this returns. It takes one option for a function, so there are two.
#[inline(never)]
fn written_by_callgrind(work: &mut dyn FnMut()) {
    collected_by_callgrind(work);
}

/// Callgrind counts in here.
#[inline(never)]
fn collected_by_callgrind(work: &mut dyn FnMut()) {
    work();
}

/// What is counted: a parse of a body, or one way to reject it.
struct Case {
    name: String,
    size: usize,
    bytes: usize,
    is_parse: bool,
}

/// Runs each case. The process under callgrind and the one that reads the counts do so in the same order.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for size in SIZES {
        for (name, of, body) in bodies(size) {
            let bytes = body.len();
            let case = |name, is_parse| Case { name, size, bytes, is_parse };
            cases.push(case(name.to_owned(), true));
            let mut parse = || drop(serde_json::from_slice::<Value>(body.as_bytes()));
            written_by_callgrind(&mut parse);
            for way in WAYS {
                for (manner, settings) in [
                    ("", Validation::new()),
                    (", strict", Validation::new().deny_unknown_fields()),
                    (", first mistake only", Validation::new().max_examined(0)),
                ] {
                    cases.push(case(format!("{name} {way}{manner}"), false));
                    written_by_callgrind(&mut || read(of, way, &settings, body.as_bytes()));
                }
            }
        }
    }
    cases
}

#[test]
#[ignore = "runs under callgrind, which `rejecting_costs_at_most_ten_times_parsing` starts"]
fn counted() {
    // Schemas are compiled, and tables are filled, once in each process.
    for way in WAYS {
        read(Type::Items, way, &Validation::new(), b"{\"items\":[{\"a\":0}]}");
        read(Type::Special, way, &Validation::new(), b"{}");
    }
    cases();
}

#[test]
fn rejecting_costs_at_most_ten_times_parsing() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "valgrind is missing");
        eprintln!("THE WORK FOR REJECTED BODIES WAS NOT COUNTED: valgrind is missing");
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("callgrind");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=counts"])
        .args(["--toggle-collect=*collected_by_callgrind*", "--dump-after=*written_by_callgrind*"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "counted", "--ignored", "--test-threads=1"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let count = |part: usize| -> u64 {
        let text = fs::read_to_string(folder.join(format!("counts.{part}"))).unwrap();
        let line = text.lines().rev().find_map(|line| line.strip_prefix("totals: "));
        line.unwrap().trim().parse().unwrap()
    };
    let mut parse = 0;
    let mut smaller: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (at, case) in cases().into_iter().enumerate() {
        let (count, bytes, name) = (count(at + 1), case.bytes as u64, case.name);
        assert!(count > 0, "{name} was not counted");
        if case.is_parse {
            parse = count;
            continue;
        }
        println!("{name}, {bytes} bytes: {count}, {}.{}x", count / parse, 10 * count / parse % 10);
        assert!(count <= 10 * parse, "{name}, {bytes} bytes: {count}, and {parse} to parse");
        // The cost for each byte does not grow.
        if case.size > SIZES[0]
            && let Some((smaller, fewer)) = smaller.insert(name.clone(), (count, bytes))
        {
            let most = smaller * bytes / fewer * 5 / 4;
            assert!(count <= most, "{name}, {bytes} bytes: {count} rather than {most}");
        }
    }
}
