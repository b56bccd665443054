/** CUDA C++ that nvcc and NVRTC compile with no other header: sm_80 and later. Built with -fmad=false: what is contracted is written. */
import { floatText } from "../../dsl/tensor/print.ts";
import type { Elem, MapOp } from "../tile/ir.ts";
import { atom, call, commonText, infixText, tight, unsupported } from "./spelling.ts";
import { spelledName, type Target, type Text, type Unit } from "./target.ts";

const types: Partial<Record<Elem, string>> = { f32: "float", f64: "double", i32: "int", u32: "unsigned", bool: "bool" };
const units: Record<Unit, string> = {
  f64: "double",
  f32: "float",
  i32: "int",
  u32: "unsigned",
  u16: "unsigned short",
  u8: "unsigned char",
};
export const unitType = (unit: Unit): string => units[unit];

/** Functions of floats by their f32 name; f64 drops the suffix. */
const math: Partial<Record<MapOp, string>> = {
  abs: "fabsf",
  floor: "floorf",
  ceil: "ceilf",
  trunc: "truncf",
  round: "rintf",
  expm1: "expm1f",
  log: "logf",
  log2: "log2f",
  log1p: "log1pf",
  sqrt: "sqrtf",
  rsqrt: "rsqrtf",
  tanh: "tanhf",
  sin: "sinf",
  cos: "cosf",
  erf: "erff",
  pow: "powf",
  min: "fminf",
  max: "fmaxf",
};
/** Through the machine's power of two, in f32; f64 keeps the library's. */
const exponentials: Partial<Record<MapOp, string>> = { exp: "weft_exp", exp2: "weft_exp2" };
/** Not `int(x)`: in brackets, C++ reads `(int(unsigned(x[n])))` as a type. */
const cast = (type: string, a: Text): Text => atom(`(${type})${a.level === tight ? a.text : `(${a.text})`}`);
function literal(value: number | boolean, elem: Elem): string {
  if (typeof value === "boolean") return String(value);
  if (elem === "i32") return value === -(2 ** 31) ? "(-2147483647 - 1)" : String(value);
  if (elem === "u32") return `${value >>> 0}u`;
  if (value === Number.POSITIVE_INFINITY) return "weft_infinity()";
  if (value === Number.NEGATIVE_INFINITY) return "-weft_infinity()";
  return elem === "f64" ? floatText(value, "f64") : `${floatText(value, "f32")}f`;
}
function op(name: MapOp, elem: Elem, args: readonly Text[], from: Elem): Text {
  const [a, b, c] = args as [Text, Text, Text];
  const float = elem === "f32" || elem === "f64";
  if (name === "shl" || name === "shr")
    return infixText(name, [
      a,
      /^\d+u?$/.test(b.text)
        ? atom(String(Number.parseInt(b.text, 10) & 31))
        : { text: `${b.level === tight ? b.text : `(${b.text})`} & 31`, level: 5 },
    ])!;
  const common = commonText(name, elem, args);
  if (common) return common;
  if (name === "select")
    return {
      text: [a, b, c].map((t) => (t.level > 0 ? t.text : `(${t.text})`)).reduce((x, y, k) => x + (k === 1 ? " ? " : " : ") + y),
      level: 0,
    };
  if (name === "bitcast")
    return from === elem
      ? a
      : elem === "f32"
        ? call("__uint_as_float", [a])
        : from === "f32"
          ? call(elem === "i32" ? "__float_as_int" : "__float_as_uint", [a])
          : cast(elem === "i32" ? "int" : "unsigned", a);
  if (name === "to_i32" || name === "to_u32")
    return from === "f32"
      ? call(name === "to_i32" ? "__float2int_rz" : "__float2uint_rz", [a])
      : from === "f64"
        ? call(name === "to_i32" ? "__double2int_rz" : "__double2uint_rz", [a])
        : cast(types[elem]!, a);
  if (name === "small_to_f32") return call("weft_small_to_float", [a]);
  if (name === "to_f32" || name === "to_f64") return cast(types[elem]!, a);
  if (name === "clamp") return float ? op("min", elem, [op("max", elem, [a, b], elem), c], elem) : call("min", [call("max", [a, b]), c]);
  if (name === "sign") return call("weft_sign", [a]);
  if (name === "sigmoid") return call("weft_sigmoid", [a]);
  if (name === "isfinite") return call("weft_isfinite", [a]);
  if (name === "random" || name === "uniform" || name === "normal")
    return call(`weft_${name}`, args.length === 2 ? [a, atom("0u"), b] : args);
  if ((name === "min" || name === "max" || name === "abs") && !float) return call(name, args);
  if (name === "again") return call("weft_again", [a]);
  if (name === "bit_length") return infixText("sub", [atom("32"), call("__clz", [a])])!;
  const power = exponentials[name];
  if (power) return call(elem === "f64" ? name : power, args);
  const f = math[name];
  if (f) return name === "rsqrt" && elem === "f64" ? call("rsqrt", args) : call(elem === "f64" ? f.slice(0, -1) : f, args);
  return unsupported(name, elem, "cuda");
}

/** By way of unsigned integers, which C++ wraps; of signed ones it may believe that they stay within their bits. */
function wrapping(name: MapOp, args: readonly Text[]): Text | undefined {
  const bits = args.map((a) => cast("unsigned", a));
  if (name === "add" || name === "sub" || name === "mul") return cast("int", infixText(name, bits)!);
  if (name === "neg") return cast("int", infixText("sub", [atom("0u"), bits[0]!])!);
  return name === "abs" ? call("weft_abs", args) : undefined;
}
/** What holds two or four words of a buffer. */
const vectorOf = (unit: Unit, words: number): string => `${unit === "f32" ? "float" : unit === "i32" ? "int" : "uint"}${words}`;
/** Keywords of C++, functions and variables that are there without being declared, and names that every kernel has. */
const reserved = new Set(
  (
    "alignas alignof and asm auto bool break case catch char class const constexpr continue decltype default delete do double else enum explicit extern false float for friend goto if inline int long mutable namespace new not " +
    "nullptr operator or private protected public register return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void volatile while xor " +
    "and_eq bitand bitor char8_t char16_t char32_t co_await co_return co_yield compl concept const_cast consteval constinit dynamic_cast noexcept not_eq or_eq reinterpret_cast requires static_assert static_cast thread_local typeid wchar_t xor_eq " +
    "abs ceil exp exp2 floor log log2 max min pow round sqrt sin cos tanh erf printf half blockIdx blockDim gridDim threadIdx warpSize thread block"
  ).split(" "),
);
export const cuda: Target = {
  name: "cuda",
  profile: {
    ...{ name: "cuda", warp: 32, matrix: true, eightBits: false, rowsByThreads: false, streams: true, wholeRows: false },
    product: { rows: 32, columns: 32, threads: 64, stepBytes: 16 },
    // Each thread has 8 x 8 sums: what it reads of shared memory for them keeps that as busy as they keep the arithmetic.
    staging: { rows: 128, columns: 128, depth: 8, threads: 256, always: true },
  },
  // 99 KB of shared memory: what a block may ask for on the least of the chips since sm_80 (CUDA C++ Programming Guide, Compute Capabilities).
  limits: { threads: 1024, sharedBytes: 101376, buffers: Number.POSITIVE_INFINITY },
  infinities: true,
  powersOfTwo: true,
  zeroedMemory: false,
  types,
  literal,
  op,
  wide: {
    alone: false,
    load: (name, unit, words, buffer, at, guard) => {
      const vector = vectorOf(unit, words);
      const value = `*reinterpret_cast<const ${vector}*>(&${buffer}[${at.text}])`;
      if (guard === undefined) return [`const ${vector} ${name} = ${value};`];
      return [`${vector} ${name} = {};`, `if (${guard.text}) ${name} = ${value};`];
    },
    store: (unit, buffer, at, words) => {
      const vector = vectorOf(unit, words.length);
      return `*reinterpret_cast<${vector}*>(&${buffer}[${at.text}]) = make_${vector}(${words.join(", ")});`;
    },
  },
  wrapping,
  pair: (format, low, high) => call(`weft_pair_${format}`, [low, high]),
  fma: (elem, a, b, c) => call(elem === "f64" ? "fma" : "fmaf", [a, b, c]),
  declare: (name, elem, value, mutable) => `${mutable ? "" : "const "}${types[elem]} ${name} = ${value};`,
  loop: (name, _turn, from, to, step, twice) => [
    ...(twice ? ["#pragma unroll 2"] : []),
    `for (int ${name} = ${from}; ${name} < ${to}; ${name} += ${step}) {`,
  ],
  condition: (test) => `if (${test}) {`,
  lanes: 32,
  shuffle: (value, bits) => `__shfl_xor_sync(0xffffffffu, ${value.text}, ${bits})`,
  anyLane: (test) => `__any_sync(0xffffffffu, ${test.text})`,
  packedDots: false,
  barrier: "__syncthreads();",
  sharedArray: (name, elem, count, offset) =>
    `WEFT_SHARED(${elem === "bool" ? "unsigned" : elem === "u16" || elem === "u8" ? units[elem] : types[elem]}, ${name}, ${count}, ${offset});`,
  unitBits: 8,
  halves: true,
  load: (buffer, unit, at, atomic) =>
    atomic
      ? call("weft_relaxed_load", [atom(`&${buffer}[${at.text}]`)])
      : unit === "u8" || unit === "u16"
        ? cast("unsigned", atom(`${buffer}[${at.text}]`))
        : atom(`${buffer}[${at.text}]`),
  store: (buffer, unit, at, value) =>
    `${buffer}[${at.text}] = ${unit === "u8" || unit === "u16" ? `(${units[unit]})(${value.text})` : value.text};`,
  merge: (buffer, word, mask, bits) => [
    `atomicAnd(&${buffer}[${word.text}], ~(${mask.text}));`,
    `atomicOr(&${buffer}[${word.text}], ${bits.text});`,
  ],
  reserved,
  threadIndex: "thread",
  blockIndex: "block",
  uniform: (name) => spelledName({ reserved }, name),
};
/** For chips whose matrix unit takes floats of 8 bits as they are. */
export const withEightBits = (target: Target): Target => ({ ...target, profile: { ...target.profile, eightBits: true } });
