// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are pieces of source text
/** Faults to plant, one at a time: a place in the text, and what stands there instead. The tests do not know them. */
export interface Mutant {
  readonly what: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  /** Why no test can tell it from the original, where that is so. */
  readonly equivalent?: string;
}
const m = (what: string, file: string, find: string, replace: string, equivalent?: string): Mutant => ({
  what,
  file,
  find,
  replace,
  ...(equivalent ? { equivalent } : {}),
});

export const mutants: readonly Mutant[] = [
  // checker
  m(
    "min and max of terms a constant apart swapped",
    "dsl/check/poly.ts",
    `(kind === "min") === d <= 0 ? a : b`,
    `(kind === "min") === d <= 0 ? b : a`,
  ),
  m(
    "the quotient of two constants rounds up",
    "dsl/check/poly.ts",
    "if (fixed !== undefined) return plus(whole, constant(Math.floor(fixed / c)));",
    "if (fixed !== undefined) return plus(whole, constant(Math.ceil(fixed / c)));",
  ),
  m(
    "an index is believed below its bound minus one",
    "dsl/check/prove.ts",
    "rows.push(atLeast(self), atLeast(minus(minus(this.atoms.of(table.elem.bound!), one), self)));",
    "rows.push(atLeast(self), atLeast(minus(minus(minus(this.atoms.of(table.elem.bound!), one), one), self)));",
  ),
  m(
    "divisors are not looked at",
    "dsl/check/obligations.ts",
    `if ((e.op === "div" || e.op === "mod") && isInteger(e.type)) this.divisor(e, at);`,
    "",
  ),
  m(
    "the else branch believes the condition",
    "dsl/check/obligations.ts",
    "this.walk(e.else, { ...at, conditions: [...at.conditions, not(e.cond)] });",
    "this.walk(e.else, { ...at, conditions: [...at.conditions, e.cond] });",
  ),
  m(
    "a sweep believes what is known of one point of the row",
    "dsl/check/obligations.ts",
    "const held = at.conditions.filter((c) => !about(c));",
    "const held = at.conditions;",
  ),
  m(
    "the where of a reduction is lost",
    "dsl/check/domain.ts",
    "const where = e.where ? and(domainOf(e.where, domains), e.where) : always;",
    "const where = always;",
  ),
  m("a range includes its end", "dsl/check/domain.ts", `compare("lt", i, a.range.to)]`, `compare("le", i, a.range.to)]`),
  m(
    "an undefined condition counts as true",
    "dsl/check/domain.ts",
    "export const holding = (c: Expr, domains: Domains): Expr => and(domainOf(c, domains), c);",
    'export const holding = (c: Expr, domains: Domains): Expr => and(c, domains.has("") ? c : undefined);',
  ),
  m(
    "the fields of a packed word swapped",
    "dsl/check/layouts.ts",
    "order.map((_, element) => order.indexOf(element))",
    "order.map((_, element) => order[element]!)",
  ),
  m("a swizzle by the wrong row", "dsl/check/layouts.ts", "mod(div(row, num(every)), num(count))", "mod(row, num(count))"),
  m(
    "the last block of a blocked layout is not padded",
    "dsl/check/layouts.ts",
    "places: mul(product(counts), product(sizes)) };",
    "places: product(t.axes.map((a) => a.extent)) };",
  ),
  // desugaring and the reference
  m("a mean over nothing is defined", "dsl/tensor/desugar.ts", `compare("gt", count, num(0))`, `compare("ge", count, num(0))`),
  m("softmax divides by the maximum", "dsl/tensor/desugar.ts", `op("div", [weight, sum]`, `op("div", [weight, max]`),
  m(
    "logsumexp forgets the maximum",
    "dsl/tensor/desugar.ts",
    `op("add", [max, op("log", [sum], e.type, e.span)], e.type, e.span)`,
    `op("log", [sum], e.type, e.span)`,
  ),
  m(
    "a row is narrowed by the branch around it",
    "dsl/tensor/desugar.ts",
    "guard: and(...conjuncts(place.guard).filter((c) => !mentions(c)))",
    "guard: place.guard ?? and()",
  ),
  m("a - b adds", "dsl/interpret/scalar.ts", "const b = sign * right;", "const b = right;"),
  m("a maximum is a minimum", "dsl/interpret/reduce.ts", "sign * x > sign * best) best = x;", "sign * x < sign * best) best = x;"),
  m("half the unit roundoff on CUDA", "dsl/interpret/accuracy.ts", `name: "cuda",\n  unit: 2 ** -24,`, `name: "cuda",\n  unit: 2 ** -26,`),
  m(
    "sums are bounded as if exact",
    "dsl/interpret/reduce.ts",
    ": inherited + ((h * u) / (1 - h * u)) * magnitude + magnitude * 2 ** -50;",
    ": inherited + magnitude * 2 ** -50;",
  ),
  m(
    "narrowing inherits no error",
    "dsl/interpret/interpreter.ts",
    "? Math.max(roundTo(format, x + e, mode) - r, r - roundTo(format, x - e, mode))",
    "? 0",
  ),
  m(
    "products forget an operand's error",
    "dsl/interpret/scalar.ts",
    "const inherited = Math.abs(a) * eb + Math.abs(b) * ea + ea * eb;",
    "const inherited = Math.abs(a) * eb;",
  ),
  m("nine rounds of Philox", "dsl/tensor/philox.ts", "round < 10", "round < 9"),
  // planning
  m(
    "launches are joined though one reads the other",
    "compiler/plan/plan.ts",
    "if (!sameAxes(a.axes, b.axes) || depends || !simple) {",
    "if (!sameAxes(a.axes, b.axes) || !simple) {",
  ),
  m(
    "updates in place read each other anywhere",
    "compiler/plan/in-place.ts",
    "printExpr(other.subscripts[k]!)) ?? false",
    "printExpr(other.subscripts[k]!) || true) ?? true",
  ),
  m(
    "a read inside a reduction counts as the thread's own",
    "compiler/plan/touches.ts",
    `walk(c, own && x.kind !== "reduce" && x.kind !== "sweep")`,
    "walk(c, own)",
  ),
  m("a fragile condition is not kept", "compiler/plan/in-place.ts", "if (fragile(where)) {", "if (fragile(where) && written.size > 99) {"),
  m("a fragile place is not kept", "compiler/plan/in-place.ts", "fragile(s) ? keep(", "fragile(s) && written.size > 99 ? keep("),
  m(
    "new values are stored before all are computed",
    "compiler/plan/in-place.ts",
    "first.push(...jobs.first);\n      last.push(...jobs.last);",
    "first.push(...jobs.first, ...jobs.last);",
  ),
  m("the domains of partial tensors are not followed", "compiler/plan/touches.ts", "if (!isTrue(domain)) walk(domain, own);", ""),
  m(
    "a loop ends one early for <=",
    "compiler/plan/bounds.ts",
    `if (op === "le" || op === "eq") upper.push(add(found.value, num(1)));`,
    `if (op === "le" || op === "eq") upper.push(found.value);`,
  ),
  m(
    "a loop starts one late for >",
    "compiler/plan/bounds.ts",
    `if (op === "gt") lower.push(add(found.value, num(1)));`,
    `if (op === "gt") lower.push(add(found.value, num(2)));`,
  ),
  m(
    "a comparison does not turn round",
    "compiler/plan/bounds.ts",
    "(s ? { ...s, flipped: !s.flipped } : undefined)",
    "(s ? { ...s, flipped: s.flipped } : undefined)",
  ),
  m(
    "the pieces of a split are too short",
    "compiler/schedule/split.ts",
    `const length = op("div", [add(axis.extent, num(n - 1)), num(n)], "int");`,
    `const length = op("div", [axis.extent, num(n)], "int");`,
  ),
  m(
    "the pieces of a split overlap",
    "compiler/schedule/split.ts",
    "const high = add(low, length);",
    "const high = add(add(low, length), num(1));",
  ),
  // tiles
  m(
    "the tail of a reduced axis is one too long",
    "compiler/tile/expression.ts",
    `const inside = width > 1 && !exact ? b.map("lt", [raw, extent], "bool") : undefined;`,
    `const inside = width > 1 && !exact ? b.map("le", [raw, extent], "bool") : undefined;`,
  ),
  m(
    "the mask of a reduction is lost",
    "compiler/tile/expression.ts",
    "if (mask !== undefined) values = values.map(",
    "if (mask === undefined) values = values.map(",
  ),
  m(
    "a minimum starts from the lowest number",
    "compiler/tile/identity.ts",
    `case "min":\n      return [b.constant(high, type)];`,
    `case "min":\n      return [b.constant(low, type)];`,
  ),
  m("a product starts from 0", "compiler/tile/identity.ts", "return [b.constant(1, type)];", "return [b.constant(0, type)];"),
  m(
    "holes of temporaries are read",
    "compiler/tile/expression.ts",
    "safe && !holes ? undefined : env.guard",
    "safe ? undefined : env.guard",
  ),
  m(
    "loads of what may be out of range have no guard",
    "compiler/tile/expression.ts",
    "safe && !holes ? undefined : env.guard",
    "undefined",
  ),
  m(
    "strides of another axis",
    "compiler/tile/expression.ts",
    "stride = this.times(this.value(t.axes[k]!.extent, env), stride);",
    "stride = this.times(this.value(t.axes[0]!.extent, env), stride);",
  ),
  m(
    "an unwanted loop runs past the extent",
    "compiler/tile/expression.ts",
    `b.map("min", [to, from], "i32")], "i32") : to;`,
    `from], "i32") : to;`,
  ),
  m(
    "a segment search goes the wrong way",
    "compiler/tile/expression.ts",
    `b.map("select", [up, middle, low!], "i32"),`,
    `b.map("select", [up, low!, middle], "i32"),`,
  ),
  m(
    "the tail of a tile is one too long",
    "compiler/tile/lower.ts",
    `inside = lowering.both(inside, b.map("lt", [raw, extent], "bool"));`,
    `inside = lowering.both(inside, b.map("le", [raw, extent], "bool"));`,
  ),
  m(
    "indices past the end are not clamped",
    "compiler/tile/lower.ts",
    `real = b.map("min", [raw, b.map("sub", [extent, b.constant(1, "i32")], "i32")], "i32");`,
    "real = raw;",
  ),
  m("stores lose the tail guard", "compiler/tile/lower.ts", "guard: lowering.both(inside, where),", "guard: where,"),
  m("reverse sweeps walk upward", "compiler/tile/rows.ts", "const index = e.reverse ?", "const index = !e.reverse ?"),
  m(
    "top-k takes an element twice",
    "compiler/tile/rows.ts",
    `b.map("gt", [j, lastIndex!], "bool")`,
    `b.map("ge", [j, lastIndex!], "bool")`,
  ),
  m(
    "a hole of a row is swept",
    "compiler/tile/rows.ts",
    "const kept = mask === undefined ? next : next.map(",
    "const kept = mask !== undefined ? next : next.map(",
  ),
  // threads
  m(
    "no barrier before shared memory is used again",
    "compiler/thread/lower.ts",
    `if (this.exchanges++ > 0) n.effect({ kind: "barrier" });`,
    "this.exchanges++;",
  ),
  m(
    "no barrier before partial results are read",
    "compiler/thread/lower.ts",
    `    n.effect({ kind: "barrier" });\n    const mask = bits.reduce`,
    "    const mask = bits.reduce",
  ),
  m("all copies of an element are stored", "compiler/thread/lower.ts", "return free === 0 ? undefined :", "return free >= 0 ? undefined :"),
  m(
    "a thread stores whole words that are not its own",
    "compiler/thread/lower.ts",
    "const whole = n.at(base).multiple % per === 0 && fields.every((f) => f >= 0);",
    "const whole = fields.every((f) => f >= 0);",
  ),
  m(
    "fields of a word at twice their place",
    "compiler/thread/lower.ts",
    `n.op("mul", [place, n.int(bits)], "i32")`,
    `n.op("mul", [place, n.int(2 * bits)], "i32")`,
  ),
  m(
    "signed fields lose their sign",
    "compiler/thread/lower.ts",
    `const up = n.constant(32 - info.bits, "u32");`,
    `const up = n.constant(31 - info.bits, "u32");`,
  ),
  m(
    "blocks along the wrong axis",
    "compiler/thread/lower.ts",
    "for (let i = grid.length - 1; i > k; i--)",
    "for (let i = grid.length - 1; i >= k; i--)",
  ),
  m(
    "loops start at the latest of their bounds",
    "compiler/thread/lower.ts",
    `const from = hull(op.from, "min");`,
    `const from = hull(op.from, "max");`,
  ),
  m(
    "loops end at the earliest of their bounds",
    "compiler/thread/lower.ts",
    `const to = hull(op.to, "max");`,
    `const to = hull(op.to, "min");`,
  ),
  m(
    "argmax ties go to the higher index",
    "compiler/thread/lower.ts",
    `n.op("lt", [y[1]!, x[1]!], "bool")`,
    `n.op("gt", [y[1]!, x[1]!], "bool")`,
  ),
  m(
    "a remainder is simplified to 0",
    "compiler/thread/nodes.ts",
    `if (op === "truncmod") return this.int(by);`,
    `if (op === "truncmod") return this.int(0);`,
  ),
  m(
    "a decided choice takes the other side",
    "compiler/thread/nodes.ts",
    "if (c !== undefined) return c ? args[1]! : args[2]!;",
    "if (c !== undefined) return c ? args[2]! : args[1]!;",
  ),
  m("constants are folded without wrapping", "compiler/thread/nodes.ts", "mul: Math.imul(x, y),", "mul: Math.imul(x, y) & 0xffff,"),
  m(
    "carried values are assigned one after another",
    "compiler/thread/statements.ts",
    "if (mentions(value, earlier)) {",
    "if (mentions(value, earlier) && earlier.size > 99) {",
  ),
  // emission
  m(
    "WGSL select with its sides swapped",
    "compiler/targets/wgsl.ts",
    `return call("select", [c, b, a]);`,
    `return call("select", [b, c, a]);`,
  ),
  m("CUDA merges without clearing", "compiler/targets/cuda.ts", "    `atomicAnd(&${buffer}[${word.text}], ~(${mask.text}));`,\n", ""),
  m("WGSL merges without clearing", "compiler/targets/wgsl.ts", "    `atomicAnd(&${buffer}[${word.text}], ~(${mask.text}));`,\n", ""),
  m(
    "CUDA words with fields of others are read plainly",
    "compiler/targets/cuda.ts",
    "    atomic\n      ? call",
    '    atomic && unit === "f64"\n      ? call',
  ),
  m(
    "guards of loads are not written",
    "compiler/emit/emit.ts",
    "if (e.guard === undefined) return",
    "if (e.guard === undefined || e.guard) return",
  ),
  m(
    "ties round up in CUDA's narrowing",
    "compiler/emit/helpers.ts",
    "if (mode == 0) up = rest > 0x80000000u || (rest == 0x80000000u && (q & 1) == 1 && cut < 32);",
    "if (mode == 0) up = rest >= 0x80000000u && cut < 32;",
  ),
  m(
    "ties round up in WGSL's narrowing",
    "compiler/emit/helpers.ts",
    "if (mode == 0u) { up = rest > 0x80000000u || (rest == 0x80000000u && (q & 1u) == 1u && cut < 32u); }",
    "if (mode == 0u) { up = rest >= 0x80000000u && cut < 32u; }",
  ),
  m(
    "comparisons in WGSL arguments are not bracketed",
    "compiler/targets/spelling.ts",
    "a.level <= 7 && /[<>]/.test(a.text)",
    "a.level < 0 && /[<>]/.test(a.text)",
  ),
  m("the grid's second dimension is not cut", "compiler/emit/frames.ts", "  if (block >= {{blocks}}) { return; }\n", ""),
  // runtime and planners
  m("shapes that disagree are taken", "runtime/call.ts", "if (want !== t.shape[k])", "if (want < 0)"),
  m(
    "preconditions are not checked",
    "runtime/call.ts",
    "if (!holds(r.condition, values))",
    'if (!holds(r.condition, values) && values[""] === 0)',
  ),
  m(
    "a dimension is solved by multiplying",
    "runtime/dims.ts",
    "solveFor(inner, size / other, values)",
    "solveFor(inner, size * other, values)",
  ),
  m("ceiling division rounds down", "runtime/abi.ts", "return b === 0 ? 0 : Math.ceil(a / b);", "return b === 0 ? 0 : Math.floor(a / b);"),
  m("every step of a repeat is the first", "runtime/abi.ts", "{ ...counters, [s.name]: k }", "{ ...counters, [s.name]: 0 }"),
  m(
    "packed fields are written highest first",
    "runtime/layout.ts",
    "const shift = (at % per) * bits;",
    "const shift = (per - 1 - (at % per)) * bits;",
  ),
  m("falling offsets are taken", "runtime/call.ts", "if (t.data[i]! < t.data[i - 1]!)", "if (t.data[i]! < 0)"),
  m("an older architecture's schedule wins", "runtime/call.ts", "return k < 0 ? 0 : q[k]! - p[k]!;", "return k < 0 ? 0 : p[k]! - q[k]!;"),
  m("rows are filled past their capacity", "kernels/prepack/plan.ts", "r.used + length <= capacity", "r.used <= capacity"),
  m("prompts of a row overlap", "kernels/prepack/plan.ts", "row.used += length;", "row.used = length;"),
];
