/** Holds kernels against the reference interpreter, within derived bounds. */
export { type Agreement, type AgreeOptions, agree, type Disagreement, describe } from "./agree.ts";
export { numbersOf, readElement, tensorOf, writeElement } from "./convert.ts";
export { type GenerateOptions, generate, seeded } from "./generate.ts";
export { type BrokenLaw, brokenLaws } from "./laws.ts";
export { runThreads, runTiles } from "./levels.ts";
export { interpreterFor, programOf, ReferenceDevice } from "./reference-device.ts";
