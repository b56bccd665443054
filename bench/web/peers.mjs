/** The peers, each behind the same few functions as Weft (`System` of systems.ts). They come from bench/web/package.json. */

export async function tfjs(_given, timed) {
  const tf = await import("@tensorflow/tfjs-core");
  await import("@tensorflow/tfjs-backend-webgpu");
  await tf.setBackend("webgpu");
  await tf.ready();
  const backend = tf.backend();
  const run = {
    matmul: (a, b) => tf.matMul(a, b),
    softmaxes: (x) => tf.softmax(x),
    dot_product_attention: (q, k, v) =>
      tf.tidy(() => tf.matMul(tf.softmax(tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(q.shape.at(-1)))), v)),
  };
  return {
    prepare: async (op) => {
      const args = Object.values(op.inputs).map((t) => tf.tensor(t.data, [...t.shape]));
      return {
        run: async () => {
          let out;
          const ms = await timed(backend.device.queue, () => {
            out = run[op.kernel](...args);
            backend.endComputePassEncoder?.();
            backend.submitQueue?.();
          });
          out.dispose();
          return ms;
        },
        read: () => run[op.kernel](...args).data(),
      };
    },
  };
}

/** Heads after positions, which is jax-js's order: the same numbers in that of (b, n, h, d). */
function turned(data, [b, h, n, d]) {
  const out = new Float32Array(data.length);
  for (let i = 0; i < b * h * n; i++) {
    const at = ((Math.floor(i / (h * n)) * n + (i % n)) * h + (Math.floor(i / n) % h)) * d;
    out.set(data.subarray(i * d, (i + 1) * d), at);
  }
  return out;
}
export async function jax(_given, timed) {
  const { numpy: np, nn, jit, init, defaultDevice } = await import("@jax-js/jax");
  let device;
  const proto = GPUAdapter.prototype;
  const request = proto.requestDevice;
  proto.requestDevice = async function seen(d) {
    device = await request.call(this, d);
    return device;
  };
  await init();
  defaultDevice("webgpu");
  proto.requestDevice = request;
  const run = {
    matmul: jit((a, b) => np.matmul(a, b)),
    softmaxes: jit((x) => nn.softmax(x, -1)),
    dot_product_attention: jit((q, k, v) => nn.dotProductAttention(q, k, v)),
  };
  return {
    prepare: async (op) => {
      const heads = op.kernel === "dot_product_attention";
      const args = Object.values(op.inputs).map(({ shape, data }) => {
        const [b, h, n, d] = shape;
        return heads ? np.array(turned(data, shape)).reshape([b, n, h, d]) : np.array(data).reshape([...shape]);
      });
      const once = () => run[op.kernel](...args.map((a) => a.ref));
      return {
        run: async () => {
          let out;
          const ms = await timed(device.queue, async () => {
            out = once();
            await out.blockUntilReady();
          });
          out.dispose();
          return ms;
        },
        read: async () => {
          const data = await once().data();
          const [b, h, n, d] = op.output.shape;
          return heads ? turned(data, [b, n, h, d]) : data;
        },
      };
    },
  };
}

export async function ort(given, timed) {
  const runtime = await import(given.ort);
  runtime.env.wasm.numThreads = 1;
  if (given.ort.startsWith("http")) runtime.env.wasm.wasmPaths = new URL(".", given.ort).href;
  runtime.env.logLevel = "error";
  return {
    prepare: async (op) => {
      const session = await runtime.InferenceSession.create(Uint8Array.from(given.models[op.kernel]), {
        executionProviders: ["webgpu"],
        preferredOutputLocation: "gpu-buffer",
      });
      const device = await runtime.env.webgpu.device;
      const feeds = Object.fromEntries(
        Object.entries(op.inputs).map(([name, t]) => {
          const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
          const buffer = device.createBuffer({ size: t.data.byteLength, usage });
          device.queue.writeBuffer(buffer, 0, t.data);
          return [name, runtime.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: [...t.shape] })];
        }),
      );
      return {
        run: async () => {
          let out;
          const ms = await timed(device.queue, async () => {
            out = await session.run(feeds);
          });
          out[op.output.name].dispose();
          return ms;
        },
        read: async () => (await session.run(feeds))[op.output.name].getData(),
      };
    },
  };
}
