/** WGSL for core WebGPU; f16 and subgroups where a schedule asks for them. Narrow types lie in u32 words and are decoded by bit operations. (WGSL, W3C Candidate Recommendation.) */
import { floatText } from "../../dsl/tensor/print.ts";
import type { Elem, MapOp } from "../tile/ir.ts";
import { atom, call, commonText, infixText, unsupported } from "./spelling.ts";
import { spelledName, type Target, type Text, type Unit } from "./target.ts";

const types: Partial<Record<Elem, string>> = { f32: "f32", i32: "i32", u32: "u32", bool: "bool" };
const functions: Partial<Record<MapOp, string>> = {
  min: "min",
  max: "max",
  abs: "abs",
  sign: "sign",
  floor: "floor",
  ceil: "ceil",
  trunc: "trunc",
  round: "round",
  clamp: "clamp",
  exp: "exp",
  exp2: "exp2",
  log: "log",
  log2: "log2",
  sqrt: "sqrt",
  rsqrt: "inverseSqrt",
  sin: "sin",
  cos: "cos",
  tanh: "weft_tanh",
  sigmoid: "weft_sigmoid",
  erf: "weft_erf",
  pow: "weft_pow",
  expm1: "weft_expm1",
  log1p: "weft_log1p",
  isfinite: "weft_isfinite",
  random: "weft_random",
  uniform: "weft_uniform",
  normal: "weft_normal",
  dot4_i8: "dot4I8Packed",
};
function literal(value: number | boolean, elem: Elem): string {
  if (typeof value === "boolean") return String(value);
  if (elem === "i32") return value === -(2 ** 31) ? "i32(-2147483648)" : String(value);
  if (elem === "u32") return `${value >>> 0}u`;
  if (Math.abs(value) === 3.4028234663852886e38) return `${value < 0 ? "-" : ""}0x1.fffffep+127f`;
  return `${floatText(value, "f32")}f`;
}
function op(name: MapOp, elem: Elem, args: readonly Text[]): Text {
  const [a, b, c] = args as [Text, Text, Text];
  if (name === "shl" || name === "shr") return shift(name, a, b);
  const common = commonText(name, elem, args);
  if (common) return common;
  if (name === "select") return call("select", [c, b, a]);
  if (name === "bitcast") return call(`bitcast<${types[elem]}>`, [a]);
  if (name === "small_to_f32") return call("f32", [a]);
  if (name === "to_f32" || name === "to_i32" || name === "to_u32") return call(types[elem]!, [a]);
  if (name === "dot4_u8") return call("i32", [call("dot4U8Packed", [a, b])]);
  if (name === "again") return a;
  if (name === "bit_length") return infixText("sub", [atom("32"), call("countLeadingZeros", [a])])!;
  if (name === "isfinite" || functions[name])
    return call(
      functions[name]!,
      args.length === 2 && ["random", "uniform", "normal"].includes(name)
        ? [a, atom("0u"), asWord(b)]
        : ["random", "uniform", "normal"].includes(name)
          ? args.map(asWord)
          : args,
    );
  return unsupported(name, elem, "wgsl");
}
const asWord = (t: Text): Text => (/u$|^u32\(/.test(t.text) ? t : call("u32", [t]));
/** Shift counts are taken modulo 32; WGSL wants them as u32. */
function shift(name: "shl" | "shr", a: Text, b: Text): Text {
  const constant = /^\d+u?$/.test(b.text);
  const count = constant
    ? `${Number.parseInt(b.text, 10) & 31}u`
    : /^u32\(/.test(b.text) || b.text.endsWith("u")
      ? b.text
      : `u32(${b.text}) & 31u`;
  return infixText(name, [a, constant ? atom(count) : { text: count, level: 5 }])!;
}
/** Keywords, reserved words that people use as names, builtin functions and types (WGSL, "Keyword and Token Summary"), and names that every kernel has. */
const reserved = new Set(
  (
    "alias break case const const_assert continue continuing default diagnostic discard else enable false fn for if let loop override requires return struct switch true var while " +
    "active array as asm async atomic attribute auto await bitcast bool buffer cast catch class common compile concept constructor delete demote do enum export extern external f16 f32 filter final fixed get goto handle i32 " +
    "impl import in inline input interface layout mat mod module mut new null of out output package pass pixel precise private protected ptr public read read_write ref register resource restrict return sampler self set shared " +
    "signed static storage super target template texture this type typedef u32 uniform union unsigned use using vec vec2 vec3 vec4 virtual volatile where with workgroup write yield " +
    "abs acos all any asin atan ceil clamp cos cosh cross degrees distance dot exp exp2 floor fma fract length log log2 max min mix modf normalize pow radians reflect round sign sin sinh smoothstep sqrt step tan tanh transpose trunc select args main local group groups lane lanes subgroup thread block"
  ).split(" "),
);
/** Of a position, that of its vector; halves are two to a word of it. */
const vectorAt = (unit: Unit, words: number, at: Text): Text => infixText("truncdiv", [at, atom(`${unit === "u16" ? 2 * words : words}`)])!;
const wordOf = (unit: Unit): Unit => (unit === "u16" ? "u32" : unit);
export const wgsl: Target = {
  name: "wgsl",
  profile: {
    ...{ name: "wgsl", warp: 32, matrix: false, eightBits: false, rowsByThreads: true, streams: true, wholeRows: false },
    product: { rows: 32, columns: 32, threads: 64, stepBytes: 16 },
    // 4 x 8 sums to a thread: more do not fit in the registers of some chips. Both operands twice take half of the 16 KiB that every device has.
    staging: { rows: 64, columns: 64, depth: 8, threads: 128, always: true },
  },
  limits: { threads: 256, sharedBytes: 16384, buffers: 8 },
  infinities: false,
  powersOfTwo: false,
  zeroedMemory: true,
  types,
  literal,
  op,
  declare: (name, _elem, value, mutable) => `${mutable ? "var" : "let"} ${name} = ${value};`,
  // Up to a constant and by ones: any other loop gets a counter of 64 bits from Tint, to bound it.
  loop: (name, turn, from, to, step) =>
    step === 1
      ? [`for (var ${name} = ${from}; ${name} < 2147483647; ${name}++) {`, `  if (${name} >= ${to}) { break; }`]
      : [
          `for (var ${turn} = 0; ${turn} < 2147483647; ${turn}++) {`,
          `  let ${name} = ${from === "0" ? "" : `${from} + `}${turn} * ${step};`,
          `  if (${name} >= ${to}) { break; }`,
        ],
  condition: (test) => `if (${test}) {`,
  lanes: 1,
  shuffle: (value, bits) => `subgroupShuffleXor(${value.text}, ${bits}u)`,
  anyLane: (test) => `subgroupAny(${test.text})`,
  packedDots: true,
  wide: {
    alone: true,
    load: (name, unit, words, buffer, at, guard) => {
      const value = `${buffer}[${vectorAt(unit, words, at).text}]`;
      if (guard === undefined) return [`let ${name} = ${value};`];
      return [`var ${name} = vec${words}<${wordOf(unit)}>();`, `if (${guard.text}) { ${name} = ${value}; }`];
    },
    store: (unit, buffer, at, words) =>
      `${buffer}[${vectorAt(unit, words.length, at).text}] = vec${words.length}<${wordOf(unit)}>(${words.join(", ")});`,
  },
  barrier: "workgroupBarrier();",
  sharedArray: (name, elem, count, _offset, vector) => {
    const type = elem === "bool" || elem === "u16" || elem === "u8" ? "u32" : types[elem];
    return `var<workgroup> ${name}: array<${vector ? `vec${vector}<${type}>, ${count / vector}` : `${type}, ${count}`}>;`;
  },
  unitBits: 32,
  halves: false,
  load: (buffer, unit, at, atomic) => {
    const element = `${buffer}[${at.text}]`;
    // The bits of a half, as those of any narrow type.
    if (unit === "u16") return call("pack2x16float", [call("vec2<f32>", [call("f32", [atom(element)]), atom("0.0f")])]);
    return atom(atomic ? `atomicLoad(&${element})` : element);
  },
  half: (buffer, at) => call("f32", [atom(`${buffer}[${at.text}]`)]),
  store: (buffer, unit, at, value, atomic) => {
    const element = `${buffer}[${at.text}]`;
    if (unit === "u16") return `${element} = bitcast<vec2<f16>>(${value.text}).x;`;
    return atomic ? `atomicStore(&${element}, ${value.text});` : `${element} = ${value.text};`;
  },
  merge: (buffer, word, mask, bits) => [
    `atomicAnd(&${buffer}[${word.text}], ~(${mask.text}));`,
    `atomicOr(&${buffer}[${word.text}], ${bits.text});`,
  ],
  reserved,
  threadIndex: "thread",
  blockIndex: "block",
  uniform: (name) => `args.${spelledName({ reserved }, name)}`,
};
/** On a device that holds halves: they are elements of memory, read and written one by one or 16 bytes at a time. */
export const withHalves = (target: Target): Target => ({ ...target, halves: true });
/** On a device whose subgroups have at least so many lanes: rows are shared out over them. */
export const withLanes = (target: Target, lanes: number): Target =>
  lanes === 1
    ? target
    : { ...target, lanes, profile: { ...target.profile, name: `${target.profile.name} with subgroups`, rowsByThreads: false } };
/**
 * On a software device: many registers to a thread, straight from storage, and few launches. A CPU has no lanes to keep busy and spills to its
 * own cache, and what it saves in loads and bounds checks counts. But it translates every term of a step, which takes longer than most runs, and
 * long loops outgrow its cache of instructions: a step is a word of the narrowest operand.
 */
export const softwareWgsl: Target = {
  ...wgsl,
  profile: {
    ...wgsl.profile,
    ...{ name: "wgsl software", streams: false, wholeRows: true },
    product: { rows: 32, columns: 32, threads: 16, stepBytes: 4, plain: { rows: 32, columns: 64, registers: [16, 8] } },
    staging: { ...wgsl.profile.staging, always: false },
  },
};
