/** What a thread does in its turn, while it is being built: nodes that it computes, and what it does to memory and to others. */
import type { Elem } from "../tile/ir.ts";
import type { MmaForm } from "./ir.ts";
import type { NodeId } from "./nodes.ts";

export type Effect =
  | { readonly kind: "store"; readonly buffer: string; readonly at: NodeId; readonly value: NodeId; readonly guard?: NodeId }
  | {
      readonly kind: "loads";
      readonly outs: readonly NodeId[];
      readonly buffer: string;
      readonly at: NodeId;
      readonly elem: Elem;
      readonly guard?: NodeId;
    }
  | { readonly kind: "stores"; readonly buffer: string; readonly at: NodeId; readonly values: readonly NodeId[]; readonly guard?: NodeId }
  | {
      readonly kind: "merge";
      readonly buffer: string;
      readonly at: NodeId;
      readonly mask: NodeId;
      readonly bits: NodeId;
      readonly guard?: NodeId;
    }
  | {
      readonly kind: "mma";
      readonly form: MmaForm;
      readonly outs: readonly NodeId[];
      readonly a: readonly NodeId[];
      readonly b: readonly NodeId[];
      readonly c: readonly NodeId[];
    }
  | {
      readonly kind: "copy";
      readonly array: string;
      readonly to: NodeId;
      readonly buffer: string;
      readonly from: NodeId;
      readonly valid: NodeId;
      readonly guard?: NodeId;
    }
  | { readonly kind: "scale"; readonly outs: readonly NodeId[]; readonly values: readonly NodeId[]; readonly by: readonly NodeId[] }
  | { readonly kind: "shuffle"; readonly out: NodeId; readonly value: NodeId; readonly mask: number }
  | { readonly kind: "commit" }
  | { readonly kind: "land"; readonly leave: number }
  | {
      readonly kind: "fragment";
      readonly outs: readonly NodeId[];
      readonly array: string;
      readonly at: NodeId;
      readonly transposed: boolean;
    }
  | { readonly kind: "share"; readonly array: string; readonly at: NodeId; readonly value: NodeId; readonly guard?: NodeId }
  | { readonly kind: "shares"; readonly array: string; readonly at: NodeId; readonly values: readonly NodeId[]; readonly guard?: NodeId }
  | { readonly kind: "takes"; readonly outs: readonly NodeId[]; readonly array: string; readonly at: NodeId; readonly elem: Elem }
  | { readonly kind: "barrier" }
  | { readonly kind: "comment"; readonly text: string; readonly line?: number }
  | { readonly kind: "declare"; readonly variable: NodeId; readonly init: NodeId }
  | {
      readonly kind: "loop";
      readonly index: NodeId;
      readonly from: NodeId;
      readonly to: NodeId;
      readonly step: number;
      readonly twice: boolean;
      readonly assigns: readonly { readonly variable: NodeId; readonly value: NodeId }[];
      readonly body: readonly Entry[];
    };
/** What stands in a block: an effect or, mostly, a node that is made there. */
export type Entry = Effect | NodeId;
/** An effect of one kind. */
export type EffectOf<K extends Effect["kind"]> = Extract<Effect, { kind: K }>;
export const isOf = <K extends Effect["kind"]>(e: Entry | undefined, kind: K): e is EffectOf<K> => typeof e === "object" && e.kind === kind;
