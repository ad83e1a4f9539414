// The schemas of `zod.rs`, in zod. Reads inputs by schema from stdin and writes the paths of their issues.
import { z } from "zod";

const byte = z.int().min(0).max(255);
const inner = z.object({ innerName: z.string().min(2), amount: byte.max(10).nullish() });
const word = z.enum(["ab", "cd"]);
const even = z.int().min(0).max(4294967295).refine((number) => number % 2 === 0);
const date = z.string().regex(/^.{4}-.{2}-.{2}$/);
const unsigned = z.int().min(0).max(65535);
const u32 = z.int().min(0).max(4294967295);
const tagged = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("circle"), radius: z.number().min(1) }),
  z.object({ kind: z.literal("box"), sideLength: u32.min(1), name: z.string().nullish() }),
  z.object({ kind: z.literal("dot") }),
]);
const tree = z.object({
  name: z.string().min(1),
  get children() {
    return z.array(tree).default([]);
  },
});

const values = {
  string: z.string(),
  string_min: z.string().min(2),
  string_max: z.string().max(2),
  string_both: z.string().min(1).max(3),
  string_length: z.string().length(2),
  string_regex: z.string().regex(/^[a-c]+$/),
  string_prefix: z.string().startsWith("ab"),
  string_suffix: z.string().endsWith("b"),
  string_includes: z.string().includes("b"),
  string_email: z.email(),
  string_optional: z.string().min(2).nullish(),
  string_default: z.string().min(2).default("word"),
  boolean: z.boolean(),
  boolean_optional: z.boolean().nullish(),
  number: z.number(),
  number_min: z.number().min(1),
  number_max: z.number().max(1),
  number_both: z.number().min(-0.5).max(1.5),
  number_optional: z.number().min(1).nullish(),
  int: z.int32(),
  int_min: z.int().min(1).max(1000),
  int_small: byte,
  int_signed: z.int().min(-128).max(127),
  int_optional: unsigned.max(100).nullish(),
  int_default: unsigned.max(100).default(0),
  list: z.array(z.string()),
  list_min: z.array(byte).min(1),
  list_max: z.array(byte).max(2),
  list_inner: z.array(z.string().min(1)),
  list_both: z.array(byte.min(1)).max(3),
  list_nested: z.array(z.array(byte).max(2)),
  list_optional: z.array(z.boolean()).nullish(),
  list_of_options: z.array(byte.nullable()),
  tuple: z.tuple([byte, z.string()]),
  record: z.record(z.string(), byte),
  record_of_lists: z.record(z.string(), z.array(z.string())),
  word,
  word_optional: word.nullish(),
  words: z.array(word).max(2),
  nested: inner,
  nested_optional: inner.nullish(),
  nested_list: z.array(inner),
  nested_record: z.record(z.string(), inner),
  even,
  evens: z.array(even),
  date,
  uuid: z.uuid(),
  uuids: z.array(z.uuid()),
  iso_date: z.iso.date(),
  iso_date_optional: z.iso.date().nullish(),
  iso_datetime: z.iso.datetime({ offset: true }),
  record_of_dates: z.record(z.string(), z.iso.date()),
};

const number = z.coerce.number();
const boolean = z.stringbool({ truthy: ["true", "1"], falsy: ["false", "0"], case: "sensitive" });
const queries = {
  query_int: number.int().min(1).max(100),
  query_int_default: z.coerce.number().int().min(1).max(4294967295).default(1),
  query_int_optional: number.int().min(1).max(2147483647).optional(),
  query_number: number.min(0.5),
  query_boolean: boolean,
  query_text: z.string().min(1).max(3),
  query_word: word,
  query_uuid: z.uuid(),
  query_list: z.preprocess(
    (value) => (typeof value === "string" ? [value] : value),
    z.array(number.int().min(0).max(4294967295)).max(2).default([]),
  ),
};

const schemas = {
  ...Object.fromEntries(Object.entries(values).map(([name, value]) => [name, z.object({ value })])),
  ...Object.fromEntries(
    Object.entries(queries).map(([name, value]) => [name, z.object({ value, other: boolean.optional() })]),
  ),
  signup: z
    .object({
      userName: z.string().min(2).max(10),
      password: z.string().min(8),
      passwordAgain: z.string(),
      age: byte.min(18).nullish(),
    })
    .refine((signup) => signup.password === signup.passwordAgain, { path: ["passwordAgain"] }),
  strict: z.strictObject({ a: byte }),
  crossed: z.object({ id: z.string().min(1), internalId: u32.min(5) }),
  tagged,
  drawing: z.object({ shapes: z.array(tagged).min(1), title: z.string().min(1) }),
  adjacent: z.discriminatedUnion("type", [
    z.object({ type: z.literal("mail"), data: inner }),
    z.object({ type: z.literal("phone"), data: z.string().min(3) }),
  ]),
  external: z.union([
    z.strictObject({ mail: inner }),
    z.strictObject({ phone: z.object({ number: z.string().min(3) }) }),
  ]),
  untagged: z.object({ value: z.union([byte, z.string()]) }),
  flattened: z.object({ title: z.string().min(1), ...inner.shape }),
  flattened_union: z.intersection(z.object({ title: z.string() }), tagged),
  order: z
    .object({ orderLines: z.array(inner).min(1), address: z.string().nullish(), pickup: z.boolean().default(false) })
    .refine((order) => order.pickup || order.address != null, { path: ["address"] }),
  tree,
  many_fields: z.object({
    a: z.string(),
    b: byte,
    c: z.boolean(),
    d: z.array(byte),
    e: z.record(z.string(), z.boolean()),
  }),
};

/** As Palisade writes paths: names with dots, positions in brackets. */
const written = (path) =>
  path.reduce((text, step) => text + (typeof step === "number" ? `[${step}]` : text ? `.${step}` : step), "");

let text = "";
for await (const chunk of process.stdin) text += chunk;
const answer = Object.entries(JSON.parse(text)).map(([name, inputs]) => [
  name,
  inputs.map((input) => {
    const result = schemas[name].safeParse(input);
    return result.success ? [] : [...new Set(result.error.issues.map((issue) => written(issue.path)))];
  }),
]);
process.stdout.write(JSON.stringify(Object.fromEntries(answer)));
