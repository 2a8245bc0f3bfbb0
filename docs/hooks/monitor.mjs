// For samples/scx_layers.bpf.o: what its layers used of the CPUs, every 100 ms, read from its arena while it runs.
const LAYERS = 2;
let before = new Array(LAYERS).fill(0n);

export const periodNs = 100e6;

export function periodically(object) {
  const used = before.map((_, layer) => object.variable(`layers[${layer}].run_ns`).get());
  console.error(used.map((ns, layer) => `layer ${layer}: ${(ns - before[layer]) / 1000n} us`).join(', '));
  before = used;
}
