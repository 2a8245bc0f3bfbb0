import { ERRNO } from '../../errno.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfProg } from '../prog/prog.js';
import { SeqBuffer } from './seq.js';
import type { IterTarget, Walk } from './target.js';

/** Most objects of one read (kernel: MAX_ITER_OBJECTS). */
const MAX_OBJECTS = 1000000;

/**
 * An open file of a BPF iterator: reading runs the program for one object after the other, and once more with none at the end
 * (kernel: kernel/bpf/bpf_iter.c).
 */
export class IterFile {
  readonly fdKind = 'file';
  readonly #seq: SeqBuffer;
  readonly #meta: GuestPtr;
  readonly #ctx: GuestPtr;
  readonly #setObject: (ptr: GuestPtr) => void;
  readonly #setSeqNum: (seqNum: number) => void;
  readonly #undo: (() => void)[] = [];
  #seqNum = 0;
  #doneStop = false;

  /** Gives a reference to the program back when it is closed. Throws ErrnoError(ENOMEM), and has taken nothing then. */
  constructor(
    private readonly kernel: Kernel,
    private readonly prog: BpfProg,
    target: IterTarget,
    private readonly walk: Walk,
    ctx: string,
    sessionId: number,
  ) {
    const meta = kernel.types.struct('bpf_iter_meta');
    const modelled = ['seq', 'session_id', 'seq_num'];
    const struct = kernel.types.struct(ctx);
    this.#seq = new SeqBuffer(kernel);
    try {
      this.#meta = kernel.newObject(meta, { name: 'the meta of an iterator', modelled });
      this.#undo.push(() => kernel.freeObject(this.#meta));
      this.#ctx = kernel.newObject(struct, { name: 'the context of an iterator', modelled: ['meta', target.member] });
      this.#undo.push(() => kernel.freeObject(this.#ctx));
    } catch (error) {
      this.#free();
      throw error;
    }
    meta.field('seq').set(this.#meta, this.#seq.ptr);
    meta.field('session_id').set(this.#meta, sessionId);
    struct.field('meta').set(this.#ctx, this.#meta);
    const object = struct.field(target.member);
    const seqNum = meta.field('seq_num');
    this.#setObject = (ptr) => object.set(this.#ctx, ptr);
    this.#setSeqNum = (value) => seqNum.set(this.#meta, value);
  }

  /** read(2): at most `size` bytes, none at the end; or -errno. Throws ProgramFault. */
  read(size: number): Uint8Array | number {
    if (this.#seq.count > 0) return this.#seq.take(size);
    // Objects that the walk has given are kept as long as the read takes.
    const release = this.kernel.rcu.hold();
    try {
      const err = this.#fill(size);
      return err !== 0 && this.#seq.count === 0 ? err : this.#seq.take(size);
    } finally {
      release();
    }
  }

  /** bpf_seq_read(): 0, or why there is nothing. */
  #fill(size: number): number {
    const seq = this.#seq;
    seq.from = 0;
    let object = this.walk.start();
    for (let count = 0; object !== null; count++) {
      if (object < 0) return object;
      if (count > 0) this.#seqNum++;
      if (count > 0 && seq.count >= size) return 0;
      const before = seq.count;
      if (count >= MAX_OBJECTS) return before === 0 ? -ERRNO.EAGAIN : 0;
      const err = this.#show(object);
      if (err < 0 || seq.overflowed) {
        seq.count = before;
        return before > 0 ? 0 : err || -ERRNO.E2BIG;
      }
      object = this.walk.next();
    }
    return this.#stop();
  }

  #show(object: GuestPtr): number {
    return this.walk.visible() ? this.walk.answered(this.#run(object)) : 0;
  }

  /** The end: the program runs without an object, once. */
  #stop(): number {
    const seq = this.#seq;
    const before = seq.count;
    if (!this.#doneStop) this.walk.answered(this.#run(0));
    this.walk.ended();
    if (!seq.overflowed) {
      this.#doneStop = true;
      return 0;
    }
    seq.count = before;
    if (before > 0) return 0;
    this.#doneStop = true;
    return -ERRNO.E2BIG;
  }

  /** bpf_iter_run_prog(): 0, or -EAGAIN if the program wants to be asked again. */
  #run(object: GuestPtr): number {
    this.#setObject(object);
    this.#setSeqNum(this.#seqNum);
    const r0 = this.kernel.runProg(this.prog, [this.kernel.memory.address(this.#ctx)]);
    return BigInt.asIntN(32, r0) === 0n ? 0 : -ERRNO.EAGAIN;
  }

  #free(): void {
    this.#seq.free();
    for (const undo of this.#undo) undo();
  }

  release(): void {
    this.#free();
    this.prog.put();
  }
}
