//! How a script is put together of sections.

use palisade_redis::Script;

const PRELUDE: &str = include_str!("prelude.lua");
const READABLE: &str = include_str!("readable.lua");
const BAN: &str = include_str!("ban.lua");
const INTERVENE: &str = include_str!("intervene.lua");

/// Charges all quotas or none. With a ban, it counts a refusal and blocks the key that has too many.
///
/// The numbers in the first argument: the least and the most to charge; of each quota the limit, the window and, of GCRA, the
/// burst, of a calendar when four of its windows begin; of a ban the refusals, their window, and the first and the longest block. The fields of the quotas follow as
/// arguments.
///
/// Reply, packed: what was charged, the moment, and for each quota how much remains and the wait for more or -1. A refusal has
/// -1 in the first place, and for each quota a third number, the wait for the least or -1. If the key is blocked, the first is
/// -2, or -3 if this refusal has blocked it, and the rest of the block comes last.
pub(super) fn charge(time: &str, letters: &str, has_ban: bool) -> Script {
    let mut numbers = Numbers::new("cost, most", ">I4I4");
    numbers.add_quotas(letters);
    if has_ban {
        numbers.add("ban_refusals, ban_window, ban_first, ban_longest", "I4I6I6I6");
    }
    let others = if has_ban { &["'b'", "'n'"][..] } else { &["'b'"] };
    let mut text = begun(time, letters, &numbers, others);
    text.push_str("local blocked = stored[1] and (tonumber(stored[1]) or 0) - now or 0\n");
    if has_ban {
        text.push_str("local bans, is_new = stored[2], false\n");
    }
    text.push_str(&sections(letters, "read"));
    text.push_str("local charged, moment = most, 0\n");
    text.push_str(&joined(letters, "if room_N < charged then charged = room_N end\n", ""));
    text.push_str(&joined(letters, "if held_N > moment then moment = held_N end\n", ""));
    text.push_str(&format!(
        "if charged < cost or blocked > 0 then
charged = -1
elseif charged > 0 then
{}{}end
",
        sections(letters, "charge"),
        written(letters),
    ));
    for (number, letter) in numbered(letters) {
        let left =
            "local left_N, more_N = room_N < 0 and 0 or room_N\ndo\nlocal n, wait = left_N + 1\n";
        text.push_str(&numbered_text(left, number));
        text.push_str(&numbered_text(section(source(letter), "wait"), number));
        text.push_str(&numbered_text("more_N = wait\nend\n", number));
    }
    let left = joined(letters, "left_N, more_N", ", ");
    let admitted = packed("charged, moment", &left, 2 + 2 * letters.len());
    text.push_str(&format!("if charged >= 0 then return {admitted} end\n"));
    for (number, letter) in numbered(letters) {
        let fits = "local fits_N = 0\nif cost > room_N then\nlocal n, wait = cost\n";
        text.push_str(&numbered_text(fits, number));
        text.push_str(&numbered_text(section(source(letter), "wait"), number));
        text.push_str(&numbered_text("fits_N = wait\nend\n", number));
    }
    let left = joined(letters, "left_N, more_N, fits_N", ", ");
    let blocked = if has_ban {
        text.push_str(BAN);
        "is_new and -3 or -2"
    } else {
        "-2"
    };
    let count = 2 + 3 * letters.len();
    let blocked = packed(&format!("{blocked}, moment"), &format!("{left}, blocked"), count + 1);
    let refused = packed("-1, moment", &left, count);
    text.push_str(&format!("if blocked > 0 then return {blocked} end\nreturn {refused}\n"));
    Script::new(text)
}

/// Returns an expression for a reply: so many numbers, packed, because an array costs the server three times as much.
fn packed(first: &str, others: &str, count: usize) -> String {
    format!("pack_value('>{}', {first}, {others})", "i8".repeat(count))
}

/// Returns what was charged, once: a refund is repeated when its answer was lost. Keys: that of the counts, and the mark of
/// this refund. The numbers in the first argument: how much, the moment of the charge, and those of the quotas. Reply: of how
/// many quotas it still counts.
pub(super) fn refund(time: &str, letters: &str) -> Script {
    let mut numbers = Numbers::new("amount, moment", ">I4I8");
    numbers.add_quotas(letters);
    let mut text = begun(time, letters, &numbers, &[]);
    text.push_str("if stored.err then return { 0 } end\nlocal given = 0\n");
    for section in ["read", "refund"] {
        text.push_str(&sections(letters, section));
    }
    // Its mark outlives the repetitions.
    text.push_str(&format!(
        "if given > 0 and call('SET', KEYS[2], '', 'NX', 'PX', 120000) then\n{}end\nreturn {{ given }}\n",
        written(letters)
    ));
    Script::new(text)
}

/// Resets, blocks or unblocks a key.
pub(super) fn intervene(time: &str) -> Script {
    let read = "local stored = redis.pcall('HMGET', key, 'b', 'n', 'x')\n";
    Script::new([time, PRELUDE, read, READABLE, INTERVENE].concat())
}

/// The numbers of the first argument: their names in the script, and their format.
struct Numbers {
    names: String,
    format: String,
}

impl Numbers {
    fn new(names: &str, format: &str) -> Self {
        Self { names: names.to_owned(), format: format.to_owned() }
    }

    fn add(&mut self, names: &str, format: &str) {
        self.names.push_str(", ");
        self.names.push_str(names);
        self.format.push_str(format);
    }

    fn add_quotas(&mut self, letters: &str) {
        for (number, letter) in numbered(letters) {
            let (names, format) = match letter {
                'g' => ("limit_N, window_N, burst_N", "I4I6I4"),
                'c' => ("limit_N, window_N, start_N, stop_N, third_N, fourth_N", "I4I6I6I6I6I6"),
                _ => ("limit_N, window_N", "I4I6"),
            };
            self.add(&numbered_text(names, number), format);
        }
    }
}

/// The time, the arguments, and what is stored in the fields of the quotas and before them in these others.
fn begun(time: &str, letters: &str, numbers: &Numbers, others: &[&str]) -> String {
    let mut text = [time, PRELUDE].concat();
    let Numbers { names, format } = numbers;
    text.push_str(&format!("local {names} = unpack_value('{format}', ARGV[1])\n"));
    let fields = |one: fn(usize) -> String| {
        let fields: Vec<String> = numbered(letters).map(|(number, _)| one(number)).collect();
        fields.join(", ")
    };
    let arguments = fields(|number| format!("ARGV[{}]", number + 1));
    text.push_str(&format!("local {} = {arguments}\n", fields(|number| format!("field_{number}"))));
    let mut wanted: Vec<String> = others.iter().map(ToString::to_string).collect();
    wanted.push(joined(letters, "field_N", ", "));
    text.push_str(&format!("local stored = redis.pcall('HMGET', key, {})\n", wanted.join(", ")));
    text.push_str(READABLE);
    for (number, _) in numbered(letters) {
        text.push_str(&format!("local value_{number} = stored[{}]\n", number + others.len()));
    }
    text
}

/// Writes all quotas, and the expiry when the key has to live longer than it does. That comes a second late, because the
/// server decides by a clock that it may have read before the script did whether a key has expired.
fn written(letters: &str) -> String {
    let ends = joined(letters, "local ends_N\n", "") + &sections(letters, "value");
    let fields = joined(letters, "field_N, value_N", ", ");
    let fresh = joined(letters, "fresh_N", " or ");
    let last = joined(letters, "ends_N", ", ");
    // Each charge of GCRA ends later than the one before. Room ahead spares most of them from setting the expiry.
    let later = numbered(letters).map(|(number, letter)| match letter {
        'g' => format!("2 * ends_{number} - now + 1000"),
        _ => format!("ends_{number}"),
    });
    let later = later.collect::<Vec<_>>().join(", ");
    format!(
        "{ends}if stored.err then call('DEL', key) end
call('HSET', key, {fields})
if {fresh} then
  local ends, expires = math.max({last}), tonumber(call('HGET', key, 'x'))
  if not expires or expires < ends then
    ends = math.max({later})
    call('HSET', key, 'x', ends)
    call('PEXPIRE', key, ends - now + 1000)
  end
end
"
    )
}

/// This section of each algorithm.
fn sections(letters: &str, name: &str) -> String {
    // The locals of a refund or a charge are not needed outside, and a function has room for 200.
    let is_local = matches!(name, "charge" | "value");
    let one = |(number, letter)| {
        let text = numbered_text(section(source(letter), name), number);
        match name {
            // Of what is not stored, nothing can be returned.
            "refund" => format!("if value_{number} then\n{text}end\n"),
            _ if is_local => format!("do\n{text}end\n"),
            _ => text,
        }
    };
    numbered(letters).map(one).collect()
}

fn source(letter: char) -> &'static str {
    match letter {
        's' => include_str!("sliding.lua"),
        'f' => include_str!("fixed.lua"),
        'c' => include_str!("calendar.lua"),
        't' => include_str!("strict.lua"),
        'g' => include_str!("gcra.lua"),
        _ => include_str!("log.lua"),
    }
}

/// The lines between `--@name` and the next such line.
fn section<'a>(source: &'a str, name: &str) -> &'a str {
    let marked = source.split("--@").find_map(|section| {
        let (own, text) = section.split_once('\n')?;
        (own == name).then_some(text)
    });
    marked.unwrap_or_default()
}

fn joined(letters: &str, one: &str, between: &str) -> String {
    let all: Vec<String> =
        numbered(letters).map(|(number, _)| numbered_text(one, number)).collect();
    all.join(between)
}

fn numbered(letters: &str) -> impl Iterator<Item = (usize, char)> {
    (1..).zip(letters.chars())
}

fn numbered_text(text: &str, number: usize) -> String {
    text.replace("_N", &format!("_{number}"))
}
