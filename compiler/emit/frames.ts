/** The frames of generated files: headers, entry points, bindings. Templates decide nothing; a typed context goes in. */
import Handlebars from "handlebars";

const compile = <T>(text: string): ((context: T) => string) => Handlebars.compile<T>(text, { noEscape: true, strict: true });

export interface WgslFrame {
  readonly title: string;
  /** Lanes read each other's registers: a thread's number is that of its lane in its subgroup. */
  readonly subgroups: boolean;
  readonly fields: readonly string[];
  readonly bindings: readonly string[];
  readonly helpers: readonly string[];
  readonly entries: readonly {
    readonly name: string;
    readonly shared: readonly string[];
    readonly threads: number;
    readonly blocks: string;
    readonly body: string;
  }[];
}
export const wgslFrame = compile<WgslFrame>(`// {{title}}
{{#if subgroups}}
enable subgroups;
requires subgroup_id;
{{/if}}
struct Args {
{{#each fields}}
  {{this}},
{{/each}}
}
@group(0) @binding(0) var<uniform> args: Args;
{{#each bindings}}
{{this}}
{{/each}}
{{#each helpers}}

{{this}}
{{/each}}
{{#each entries}}
{{#each shared}}

{{this}}
{{/each}}

@compute @workgroup_size({{threads}})
fn {{name}}({{#if ../subgroups}}@builtin(subgroup_id) subgroup: u32, @builtin(subgroup_size) lanes: u32, @builtin(subgroup_invocation_id) lane: u32{{else}}@builtin(local_invocation_index) local: u32{{/if}}, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  let thread = i32({{#if ../subgroups}}subgroup * lanes + lane{{else}}local{{/if}});
  let block = i32(group.x + group.y * groups.x);
  if (block >= {{blocks}}) { return; }
{{body}}
}
{{/each}}
`);

export interface CudaFrame {
  readonly title: string;
  readonly helpers: readonly string[];
  readonly entries: readonly {
    readonly name: string;
    readonly params: string;
    readonly shared: readonly string[];
    readonly threads: number;
    readonly places: readonly string[];
    readonly body: string;
  }[];
}
export const cudaFrame = compile<CudaFrame>(`// {{title}}
{{#each helpers}}

{{this}}
{{/each}}
{{#each entries}}

extern "C" __global__ void __launch_bounds__({{threads}}, 1) {{name}}({{params}}) {
{{#each shared}}
  {{this}}
{{/each}}
{{#each places}}
  {{this}}
{{/each}}
{{body}}
}
{{/each}}
`);
