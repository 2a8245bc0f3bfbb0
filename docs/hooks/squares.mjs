// For samples/setup.bpf.o, whose program fills a table for whoever asks: what a loader of its own would do.
const FIRST = 10;
const COUNT = 5;

/** A table no larger than needed. */
export function beforeLoad(object) {
  object.map('squares').define({ maxEntries: COUNT });
}

/** struct request { u32 first; u32 count; u64 sum; } */
export function afterLoad(object) {
  const request = new Uint8Array(16);
  const view = new DataView(request.buffer);
  view.setUint32(0, FIRST, true);
  view.setUint32(4, COUNT, true);
  const { retval, ctx } = object.program('fill_squares').testRun({ ctx: request });
  if (retval !== COUNT) throw new Error(`${retval} squares of ${COUNT}`);
  console.error(`sum ${new DataView(ctx.buffer).getBigUint64(8, true)}`);
}
