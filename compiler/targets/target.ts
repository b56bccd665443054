/** What a target is: names, spellings and limits, as a value. Shared code asks what it can do, not which one it is. */
import type { SharedElem } from "../thread/ir.ts";
import type { Elem, MapOp } from "../tile/ir.ts";

/** A fragment of generated text with the precedence of its outermost operator; a higher number binds tighter. */
export interface Text {
  readonly text: string;
  readonly level: number;
}
/** What one position of a buffer holds. */
export type Unit = "f64" | "f32" | "i32" | "u32" | "u16" | "u8";
/** How a device likes its work: what the default scheduler asks. */
export interface Profile {
  readonly name: string;
  /** Threads that run in step. */
  readonly warp: number;
  /** There are matrix instructions (those of fragments.ts). */
  readonly matrix: boolean;
  /** Some of them take floats of 8 bits as they are, and cut their products at 13 bits below the largest of an instruction. */
  readonly eightBits: boolean;
  /** A thread to each row of a reduction, rather than a warp. */
  readonly rowsByThreads: boolean;
  /** Scores are better computed where they are used than stored. */
  readonly streams: boolean;
  /** What a row needs and what lies along it come from one launch (join-rows.ts). */
  readonly wholeRows: boolean;
  /** The tile of a product whose operands are read straight from memory, and its threads. */
  readonly product: {
    readonly rows: number;
    readonly columns: number;
    readonly threads: number;
    /** Bytes of an operand that a step along the sum reads together. */
    readonly stepBytes: number;
    /** Where two operands are multiplied and nothing else, and sides are multiples of what a thread has: the tile, and the rows and columns of a thread. */
    readonly plain?: { readonly rows: number; readonly columns: number; readonly registers: readonly [rows: number, columns: number] };
  };
  /** The tile of a product whose operands go through shared memory, steps of the index that is summed over, and its threads; `always` where no schedule says otherwise. */
  readonly staging: {
    readonly rows: number;
    readonly columns: number;
    readonly depth: number;
    readonly threads: number;
    readonly always: boolean;
  };
}
export interface WideAccess {
  /** A buffer has one type in a launch: all its accesses are wide, or none. */
  readonly alone: boolean;
  /** The declaration of a vector that is read: of `words` of 4 bytes, two or four. */
  readonly load: (name: string, unit: Unit, words: number, buffer: string, at: Text, guard?: Text) => readonly string[];
  readonly store: (unit: Unit, buffer: string, at: Text, words: readonly string[]) => string;
}
export interface Target {
  readonly name: "cuda" | "wgsl";
  readonly profile: Profile;
  /** Of a launch: its threads, the bytes of its shared memory, and the buffers that it binds. */
  readonly limits: { readonly threads: number; readonly sharedBytes: number; readonly buffers: number };
  /** True where arithmetic keeps infinities. */
  readonly infinities: boolean;
  /** An exponential is a power of two, whose error does not grow with the exponent: what multiplies the exponent may take log2 e in. */
  readonly powersOfTwo: boolean;
  /** True where memory that nobody has written reads as 0, rather than as anything. */
  readonly zeroedMemory: boolean;
  /** Spelling of each element type; a missing one cannot be held. */
  readonly types: Partial<Record<Elem, string>>;
  readonly literal: (value: number | boolean, elem: Elem) => string;
  readonly op: (op: MapOp, elem: Elem, args: readonly Text[], from: Elem) => Text;
  /** Accesses of 16 bytes, and of 8. */
  readonly wide: WideAccess;
  /** a b + c with one rounding, where the language has it; what is written with a product and a sum is then contracted. */
  readonly fma?: (elem: Elem, a: Text, b: Text, c: Text) => Text;
  /** An operation on integers modulo 2^32, where the language does not promise that of its own. */
  readonly wrapping?: (op: MapOp, args: readonly Text[]) => Text | undefined;
  /** Two values as narrow floats in one word, the low one first, where one instruction does both. */
  readonly pair?: (format: "f16" | "bf16", low: Text, high: Text) => Text;
  /** The declaration of a value that never changes, and of one that does. */
  readonly declare: (name: string, elem: Elem, value: string, mutable: boolean) => string;
  /** The head of a loop, its first lines included; `turn` is a name for the number of the iteration, `twice` that two turns in one pay. */
  readonly loop: (name: string, turn: string, from: string, to: string, step: number, twice: boolean) => readonly string[];
  readonly condition: (test: string) => string;
  readonly barrier: string;
  /** `vector`: all its accesses are of so many elements. */
  readonly sharedArray: (name: string, elem: SharedElem, count: number, offset: number, vector: number | undefined) => string;
  /** It multiplies and adds the four bytes of two words at once, where a word is its smallest unit of memory. */
  readonly packedDots: boolean;
  /** Lanes that can read each other's registers, neighbours from a multiple of their number on; 1 where none can. */
  readonly lanes: number;
  /** What a lane reads of the one whose number differs in some bits. */
  readonly shuffle: (value: Text, bits: number) => string;
  /** Whether it holds for some lane of the warp. */
  readonly anyLane: (test: Text) => string;
  /** Bits of the smallest memory unit that a thread can read and write on its own; `halves`: elements of f16 are units as well. */
  readonly unitBits: 8 | 32;
  readonly halves: boolean;
  /** An element of a buffer; narrow ones as their bits in a u32. `atomic`: this kernel also changes single fields of its words. */
  readonly load: (buffer: string, unit: Unit, at: Text, atomic: boolean) => Text;
  /** A half in memory as a number, where the language has the type. */
  readonly half?: (buffer: string, at: Text) => Text;
  readonly store: (buffer: string, unit: Unit, at: Text, value: Text, atomic: boolean) => string;
  /** Replaces the bits under `mask` of a word that other threads also change. */
  readonly merge: (buffer: string, word: Text, mask: Text, bits: Text) => readonly string[];
  readonly reserved: ReadonlySet<string>;
  readonly threadIndex: string;
  readonly blockIndex: string;
  /** How a dimension, scalar or step is named inside a kernel. */
  readonly uniform: (name: string) => string;
}
/** A name of the text, or one that stands for it where the language has taken it. */
export const spelledName = (target: Pick<Target, "reserved">, name: string): string => (target.reserved.has(name) ? `weft_${name}` : name);
