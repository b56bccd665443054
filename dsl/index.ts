/** What a Weft program means: syntax, checking, diagnostics and the reference interpreter. No target, no I/O. */
export { type Checked, type CheckedInstance, check } from "./check/check.ts";
export type { Directive, Schedule, TargetName } from "./check/schedules.ts";
export { type Code, codes, type Diagnostic, InternalError, type Span } from "./diagnostics.ts";
export { type Accuracy, profiles } from "./interpret/accuracy.ts";
export { Interpreter, type Tuple } from "./interpret/interpreter.ts";
export type { Element, Inputs, Values } from "./interpret/source.ts";
export type * as tensor from "./tensor/ir.ts";
export { printProgram } from "./tensor/print.ts";
