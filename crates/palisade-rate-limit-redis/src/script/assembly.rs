//! How a script is put together of sections.

use palisade_redis::Script;

const PRELUDE: &str = include_str!("prelude.lua");
const STORED: &str = include_str!("stored.lua");
const INTERVENE: &str = include_str!("intervene.lua");

/// Arguments before those of the quotas.
const OWN_ARGUMENTS: usize = 2;

/// Charges all quotas or none. Arguments: the least and the most to charge. Reply: what was charged or -1, the moment, and
/// for each quota how much remains, the wait for more or -1, and the wait for the least or -1.
pub(super) fn charge(time: &str, letters: &str) -> Script {
    let mut text = begun(time, letters, "'b', ");
    text.push_str(
        "local cost, most = ARGV[1] + 0, ARGV[2] + 0
local blocked = stored[1] and max(0, (tonumber(stored[1]) or 0) - now) or 0
",
    );
    for section in ["read", "wait"] {
        text.push_str(&sections(letters, section));
    }
    let each = |one: &str| joined(letters, one, ", ");
    text.push_str(&format!(
        "local charged, moment = min(most, {}), max({})
local {} = {}
if charged < cost or blocked > 0 then charged = -1 end
if charged > 0 then
{}{}end
",
        each("room_N"),
        each("held_N"),
        each("fits_N"),
        each("wait_N(cost)"),
        sections(letters, "charge"),
        written(letters),
    ));
    // Of a blocked key nothing remains, and the waits last as long as the block.
    text.push_str(&joined(letters, "local left_of_N = max(0, room_N)\n", ""));
    text.push_str(&joined(letters, "local more_N = wait_N(left_of_N + 1)\n", ""));
    text.push_str("if blocked > 0 then\n");
    let block = "left_of_N, more_N = 0, more_N < 0 and -1 or max(more_N, blocked)
if fits_N >= 0 then fits_N = max(fits_N, blocked) end
";
    text.push_str(&joined(letters, block, ""));
    text.push_str("end\n");
    text.push_str(&format!(
        "return {{ charged, moment, {} }}\n",
        each("left_of_N, more_N, fits_N")
    ));
    Script::new(text)
}

/// Returns what was charged, once: a refund is repeated when its answer was lost. Keys: that of the counts, and the mark of
/// this refund. Arguments: how much, and the moment of the charge. Reply: of how many quotas it still counts.
pub(super) fn refund(time: &str, letters: &str) -> Script {
    let mut text = begun(time, letters, "");
    text.push_str(
        "if is_foreign then return { 0 } end
local amount, moment, given = ARGV[1] + 0, ARGV[2] + 0, 0
",
    );
    for section in ["read", "refund"] {
        text.push_str(&sections(letters, section));
    }
    // Its mark outlives the repetitions.
    text.push_str(&format!(
        "if given > 0 and redis.call('SET', KEYS[2], '', 'NX', 'PX', 120000) then\n{}end\nreturn {{ given }}\n",
        written(letters)
    ));
    Script::new(text)
}

/// Resets, blocks or unblocks a key.
pub(super) fn intervene(time: &str) -> Script {
    Script::new([time, PRELUDE, INTERVENE].concat())
}

/// The time, the arguments of the quotas and what is stored of them.
fn begun(time: &str, letters: &str, first: &str) -> String {
    let mut text = [time, PRELUDE].concat();
    let mut argument = OWN_ARGUMENTS;
    for (number, letter) in numbered(letters) {
        let at = argument + 1;
        text.push_str(&format!(
            "local field_{number}, limit_{number}, window_{number} = ARGV[{at}], ARGV[{}] + 0, ARGV[{}] + 0\n",
            at + 1,
            at + 2,
        ));
        argument += if letter == 'g' { 4 } else { 3 };
        if letter == 'g' {
            text.push_str(&format!("local BURST_{number} = {argument}\n"));
        }
    }
    let fields = joined(letters, "field_N", ", ");
    text.push_str(&format!("local stored = redis.pcall('HMGET', key, {first}{fields})\n{STORED}"));
    for (number, _) in numbered(letters) {
        let at = if first.is_empty() { number } else { number + 1 };
        text.push_str(&format!("local value_{number} = stored[{at}]\n"));
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
    format!(
        "{ends}if is_foreign then redis.call('DEL', key) end
redis.call('HSET', key, {fields})
if is_foreign or {fresh} then
  local ends, expires = max({last}), tonumber(redis.call('HGET', key, 'x'))
  if not expires or expires < ends then
    redis.call('HSET', key, 'x', ends)
    redis.call('PEXPIRE', key, ends - now + 1000)
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
