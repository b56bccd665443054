/** A source text -> its checked kernels and schedules, with all diagnostics of the file. Does no I/O and never throws on a user's mistake. */
import type { Diagnostic, Diagnostics } from "../diagnostics.ts";
import type * as ast from "../syntax/ast.ts";
import { parse } from "../syntax/parser.ts";
import { desugar } from "../tensor/desugar.ts";
import { bool, continueFreshNames, freshNames } from "../tensor/expr.ts";
import type { Program } from "../tensor/ir.ts";
import { printExpr } from "../tensor/print.ts";
import { computeOf } from "../tensor/types.ts";
import { verifyProgram } from "../tensor/verify.ts";
import { ExpressionChecker } from "./expressions.ts";
import { nearest } from "./functions.ts";
import { bindingName, bindingsOf, type InstanceBinding } from "./instances.ts";
import { checkKernel } from "./kernel.ts";
import { monoidOf } from "./monoids.ts";
import { checkSchedule, type Schedule } from "./schedules.ts";
import { Context, type Declarations, emptyScope } from "./scope.ts";

export interface CheckedInstance {
  readonly kernel: string;
  /** `T=f16, D=64`; empty where the kernel has one form. */
  readonly name: string;
  /** False where types or static dimensions are stand-ins: it can be checked and interpreted, not compiled. */
  readonly complete: boolean;
  readonly program: Program;
  /** Fresh names that the program may hold: those made later go on from here. */
  readonly freshNames: number;
}
export interface Checked {
  readonly text: string;
  readonly instances: readonly CheckedInstance[];
  readonly schedules: readonly Schedule[];
  readonly diagnostics: readonly Diagnostic[];
  readonly ok: boolean;
}

export function check(text: string): Checked {
  continueFreshNames(0);
  const { file, diagnostics } = parse(text);
  const declarations = declare(file, diagnostics);
  const instances: CheckedInstance[] = [];
  const own = file.items.filter((i): i is ast.Instance => i.kind === "instance");
  for (const i of own)
    if (!declarations.kernels.has(i.kernel.text)) {
      const near = nearest(i.kernel.text, declarations.kernels.keys());
      diagnostics.add("W503", i.kernel.span, `there is no kernel \`${i.kernel.text}\``, near ? { help: `did you mean \`${near}\`?` } : {});
    }
  const scheduled = new Map<string, Program>();
  for (const kernel of declarations.kernels.values()) {
    for (const { binding, complete } of bindingsOf(kernel, own, declarations, diagnostics)) {
      const program = checkKernel(kernel, binding, declarations, diagnostics);
      if (!diagnostics.hasErrors) verifyProgram(program, "check");
      instances.push({ kernel: kernel.name.text, name: bindingName(binding), complete, program, freshNames: freshNames() });
      // Schedules may name what softmax and its like stand for, as `weft explain` prints it.
      if (!scheduled.has(kernel.name.text)) scheduled.set(kernel.name.text, desugar(program));
    }
  }
  checkLoose(file, declarations, diagnostics);
  const schedules = file.items.flatMap((s) => {
    const checked = s.kind === "schedule" ? checkSchedule(s, scheduled.get(s.kernel.text), diagnostics) : undefined;
    return checked ? [checked] : [];
  });
  const places = new Set<string>();
  for (const s of schedules) {
    const place = `${s.name ?? s.kernel} on ${[s.target, s.arch, ...s.features, s.where && `where ${printExpr(s.where)}`].filter(Boolean).join(" ")}`;
    const key = `${s.kernel} ${place}`;
    if (places.has(key)) diagnostics.add("W102", s.span, `schedule \`${place}\` is declared twice`);
    places.add(key);
  }
  return { text, instances, schedules, diagnostics: diagnostics.sorted(), ok: !diagnostics.hasErrors };
}

function declare(file: ast.SourceFile, diagnostics: Diagnostics): Declarations {
  const kernels = new Map<string, ast.Kernel>();
  const fns = new Map<string, ast.Fn>();
  const monoids = new Map<string, ast.Monoid>();
  const layouts = new Map<string, ast.Layout>();
  const put = <T extends { name: ast.Name }>(map: Map<string, T>, item: T, what: string): void => {
    if (map.has(item.name.text)) diagnostics.add("W102", item.name.span, `${what} \`${item.name.text}\` is declared twice`);
    else map.set(item.name.text, item);
  };
  for (const i of file.items) {
    if (i.kind === "kernel") put(kernels, i, "kernel");
    if (i.kind === "fn") put(fns, i, "fn");
    if (i.kind === "monoid") put(monoids, i, "monoid");
    if (i.kind === "layout") put(layouts, i, "layout");
  }
  return { kernels, fns, monoids, layouts };
}

/** Monoids and fns that no kernel uses are checked all the same. */
function checkLoose(file: ast.SourceFile, declarations: Declarations, diagnostics: Diagnostics): void {
  const binding: InstanceBinding["binding"] = { types: new Map(), dims: new Map(), consts: new Map(), fns: new Map() };
  const checker = new ExpressionChecker(new Context(binding, declarations, diagnostics));
  for (const i of file.items) {
    if (i.kind === "monoid") monoidOf(checker, i.name);
    if (i.kind === "fn" && i.params.every((p) => p.type.axes === undefined) && i.dims.length === 0) {
      const args: ast.Expr[] = i.params.map((p) => ({ kind: "name", name: p.name.text, span: p.name.span }));
      const vars = new Map(
        i.params.map(
          (p) =>
            [
              p.name.text,
              {
                ...bool(true),
                kind: "var" as const,
                name: p.name.text,
                type: p.type.scalar.name === "int" ? ("int" as const) : computeFor(checker, p),
              },
            ] as const,
        ),
      );
      checker.inline(i, { kind: "call", callee: i.name, args, span: i.name.span }, { ...emptyScope, vars });
    }
  }
}
const computeFor = (checker: ExpressionChecker, p: ast.FnParam) => computeOf(checker.elem(p.type.scalar));
