import { isDeepStrictEqual } from 'node:util';
import { ErrnoError, errnoName } from '../../../../src/errno.js';
import { UnsupportedError } from '../../../../src/errors.js';
import type { BpfAttr } from '../../../../src/kernel/types.js';
import type {
  Call,
  Deed,
  RecordedBuffer,
  RecordedCase,
  RecordedInsn,
  RecordedStep,
  Recording,
  ShownValue,
} from './recording.js';
import { type Bound, Symbols } from './symbols.js';
import type { Socket, System } from './system.js';

export type Verdict =
  | { verdict: 'agree'; steps: number; leftOut: string[] }
  | { verdict: 'differ'; differences: string[] }
  | { verdict: 'not applicable'; reason: string };

/** The case asks for something that does not exist here. */
class NotApplicable extends Error {}

const STATES: readonly ShownValue['state'][] = ['INIT', 'INUSE', 'TOBEFREE', 'READY'];
const KINDS: Readonly<Record<string, Bound['kind']>> = {
  MAP_CREATE: 'map',
  MAP_GET_FD_BY_ID: 'map',
  PROG_LOAD: 'prog',
  PROG_GET_FD_BY_ID: 'prog',
  BTF_LOAD: 'btf',
  BTF_GET_FD_BY_ID: 'btf',
  LINK_CREATE: 'link',
  LINK_GET_FD_BY_ID: 'link',
};
/** What the verifier of 7.3 adds behind its message: the same in other words, with the insns around it. */
const EXPLANATION = /\nVerification failed: [\s\S]*\n\n(?=processed )/;
const POLL_ALWAYS = 0x18; // POLLERR | POLLHUP: reported whether asked for or not

/** Runs recorded cases against a kernel, which is as empty after each as before. */
export class Replay {
  constructor(
    private readonly system: System,
    private readonly recording: Recording,
  ) {}

  run(recorded: RecordedCase): Verdict {
    const one = new CaseReplay(this.system, this.recording, recorded);
    let verdict: Verdict;
    try {
      verdict = one.run();
    } catch (error) {
      const reason = notModelled(error);
      if (reason === undefined) throw error;
      verdict = { verdict: 'not applicable', reason };
    }
    one.closeSockets();
    const left = this.#clean();
    if (left === '') return verdict;
    const differences = verdict.verdict === 'differ' ? verdict.differences : [];
    return { verdict: 'differ', differences: [...differences, `left behind: ${left}`] };
  }

  /** Ends what a case began, as the recorder does: elements deleted, fds closed. What is there after that. */
  #clean(): string {
    const { kernel } = this.system;
    for (const map of kernel.maps.values()) {
      const fd = kernel.bpf('MAP_GET_FD_BY_ID', { map_id: map.id });
      kernel.bpf('MAP_DELETE_ELEM', { map_fd: fd, key: new Uint8Array(map.keySize) });
      kernel.close(fd);
    }
    for (const fd of kernel.fds.openFds()) kernel.close(fd);
    const count = (what: string, n: number) => (n === 0 ? [] : [`${n} ${what}`]);
    return [
      ...count('maps', kernel.maps.values().length),
      ...count('links', kernel.links.values().length),
      ...count('programs', kernel.progs.values().length),
    ].join(', ');
  }
}

/** The message if an error, or what it was made from, says that something is not modelled. */
function notModelled(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof NotApplicable || at instanceof UnsupportedError) return at.message;
  }
  return undefined;
}

class CaseReplay {
  readonly #symbols: Symbols;
  readonly #differences: string[] = [];
  readonly #leftOut: string[] = [];
  /** struct_ops value type of each map of the case. */
  readonly #valueTypes = new Map<string, string>();
  readonly #sockets = new Map<string, Socket>();
  #steps = 0;

  constructor(
    private readonly system: System,
    private readonly recording: Recording,
    private readonly recorded: RecordedCase,
  ) {
    this.#symbols = new Symbols(system.kernel.profile.btf);
  }

  get #kernel() {
    return this.system.kernel;
  }

  run(): Verdict {
    this.#requireTypes();
    for (const name of this.recorded.given) {
      const step = this.recording.objects[name]!;
      if (this.#perform(step) < 0) throw new Error(`${this.recorded.id}: ${name} cannot be made`);
    }
    for (const [i, step] of this.recorded.steps.entries()) {
      this.#step(i, step);
      // What follows a wrong answer says nothing more.
      if (this.#differences.length > 0) return { verdict: 'differ', differences: this.#differences };
    }
    if (this.#steps === 0) return { verdict: 'not applicable', reason: [...new Set(this.#leftOut)].join('; ') };
    return { verdict: 'agree', steps: this.#steps, leftOut: this.#leftOut };
  }

  /** The case is about a subsystem that nobody registered: its answers are not the framework's. */
  #requireTypes(): void {
    const names = JSON.stringify([
      this.recorded.given.map((name) => this.recording.objects[name]),
      this.recorded.steps,
    ]);
    for (const [, value, struct] of names.matchAll(/"bpf_struct_ops_(\w+)"|"struct":"(\w+_ops(?:_cid)?)"/g)) {
      const name = value ?? struct!;
      if (name === 'common_value' || name.startsWith('bpf_struct_ops_')) continue;
      if (!this.#kernel.vmlinux.structOps.some((desc) => desc.name === name)) {
        throw new NotApplicable(`${name} is not modelled`);
      }
    }
  }

  #step(i: number, step: RecordedStep): void {
    const said = this.#kernel.log.length;
    const place = `step ${i + 1}, ${'cmd' in step ? step.cmd : step.do}`;
    const check = (what: string, theirs: unknown, ours: unknown) => {
      if (isDeepStrictEqual(theirs, ours)) return;
      this.#differences.push(`${place}: ${what} ${JSON.stringify(theirs)}, here ${JSON.stringify(ours)}`);
    };
    const leftOut = 'cmd' in step ? this.#unreachable(step) : undefined;
    if (leftOut !== undefined) {
      this.#leftOut.push(leftOut);
      return;
    }
    const before = this.#differences.length;
    const ret = this.#perform(step, check);
    if (ret === SKIPPED) return;
    if (this.#differences.length === before) check('answers', answerText(step.ret), retText(step, ret));
    check(
      'logs',
      step.dmesg ?? [],
      this.#kernel.log.slice(said).map((line) => this.#withNames(line)),
    );
    this.#steps++;
  }

  /** Bytes of union bpf_attr by offset have no name here; a call that they make fail is left out, as it changes nothing. */
  #unreachable(step: Call): string | undefined {
    if ((step.patch === undefined && step.size === undefined) || !(Number(step.ret) < 0)) return undefined;
    return 'attributes go by name, without bytes behind or before them';
  }

  #withNames(line: string): string {
    return line.replace(
      /(program \S+ \(id )(\d+)/,
      (_, before, id) => before + this.#symbols.nameOf('prog', Number(id)),
    );
  }

  #perform(step: RecordedStep, check: Check = () => {}): number {
    const ret = 'cmd' in step ? this.#call(step, check) : this.#deed(step, check);
    if (step.as !== undefined && ret !== SKIPPED) this.#bind(step, ret);
    else if ('cmd' in step && KINDS[step.cmd] !== undefined && ret >= 0) this.#kernel.close(ret);
    return ret;
  }

  #bind(step: RecordedStep, ret: number): void {
    const name = step.as!;
    const fd = ret < 0 ? -1 : ret;
    const known = this.#symbols.objects.get(name);
    if (known) {
      known.fd = fd;
      return;
    }
    if (ret < 0) return;
    const object = this.#kernel.fds.file(fd)?.object;
    const kind = object && 'fdKind' in object && object.fdKind !== 'stats' ? object.fdKind : 'file';
    this.#symbols.objects.set(name, { kind, fd, id: object && 'id' in object ? Number(object.id) : 0 });
    const type = this.#valueTypeOf(step);
    if (type !== undefined) this.#valueTypes.set(name, type);
  }

  /** Maps made here, and the same maps through another fd. */
  #valueTypeOf(step: RecordedStep): string | undefined {
    if (!('cmd' in step)) return step.fd === undefined ? undefined : this.#valueTypes.get(step.fd);
    const type = step.attr.btf_vmlinux_value_type_id as { struct?: string } | undefined;
    if (step.cmd === 'MAP_CREATE') return type?.struct;
    return this.#valueTypes.get((step.attr.map_id as { id?: string } | undefined)?.id ?? '');
  }

  #call(step: Call, check: Check): number {
    const attr: Record<string, unknown> = {};
    for (const [name, content] of Object.entries(step.attr)) {
      attr[name] = this.#attribute(name, content);
    }
    if (step.cmd === 'PROG_TEST_RUN' && this.#structOf(step.attr.prog_fd) === 'bpf_dummy_ops') {
      throw new NotApplicable('test runs of bpf_dummy_ops are not modelled');
    }
    const log = { text: '' };
    if (step.cmd === 'PROG_LOAD' && step.attr.log_level) attr.log = log;
    const valueType = this.#valueTypes.get(String(step.attr.map_fd));
    if (/^MAP_LOOKUP/.test(step.cmd) && !('value' in step.attr)) {
      attr.value = new Uint8Array(
        valueType === undefined ? 4096 : this.#symbols.btf.sizeOf(this.#symbols.struct(valueType)),
      );
    }
    if (step.cmd === 'MAP_GET_NEXT_KEY') attr.next_key = new Uint8Array(4);
    if (step.cmd === 'OBJ_GET_INFO_BY_FD') attr.info = {};
    const ret = this.#kernel.bpf(step.cmd as keyof BpfAttr, attr as never);
    if (step.value !== undefined && ret === 0)
      check('shows', step.value, this.#shown(valueType!, attr.value as Uint8Array));
    if (step.next_key !== undefined)
      check('next_key', step.next_key, new DataView((attr.next_key as Uint8Array).buffer).getUint32(0, true));
    if (step.retval !== undefined) check('retval', step.retval, Number(attr.retval) | 0);
    if (step.info !== undefined && ret === 0) this.#compareInfo(step, attr.info as Record<string, unknown>, check);
    if (step.log_buf !== undefined) check('log', step.log_buf.replace(EXPLANATION, ''), log.text);
    return ret;
  }

  /** The struct_ops type that a program belongs to. */
  #structOf(prog: unknown): string | undefined {
    const made = this.recorded.steps.find((step) => step.as === prog);
    const type = made && 'cmd' in made ? (made.attr.attach_btf_id as { struct?: string } | undefined) : undefined;
    return type?.struct;
  }

  #attribute(name: string, content: unknown): unknown {
    if (/^(license|pathname|name|map_name|prog_name)$/.test(name)) return content;
    if (name === 'insns') return this.#symbols.insns(content as RecordedInsn[]);
    if (/^(key|value|keys|values|btf)$/.test(name)) return this.#symbols.buffer(content as RecordedBuffer);
    const number = this.#symbols.number(content as never);
    return name === 'map_extra' ? BigInt(number) : number;
  }

  /** A looked-up value, told as the recording tells it. */
  #shown(valueType: string, bytes: Uint8Array): ShownValue {
    const symbols = this.#symbols;
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const type = valueType.replace('bpf_struct_ops_', '');
    const start = symbols.member(`${valueType}.data`).offset;
    const data: Record<string, unknown> = {};
    const struct = symbols.btf.type(symbols.struct(type));
    for (const { name, type: id } of 'members' in struct ? struct.members : []) {
      const { offset, size } = symbols.member(`${type}.${name}`);
      const field = bytes.subarray(start + offset, start + offset + size);
      if (field.every((byte) => byte === 0)) continue;
      data[name] = this.#field(id, field);
    }
    return { refcnt: view.getInt32(0, true), state: STATES[view.getUint32(4, true)]!, data };
  }

  #field(typeId: number, field: Uint8Array): unknown {
    const { btf } = this.#symbols;
    const text = btf.type(btf.resolve(typeId));
    if (text.kind === 3) return String.fromCharCode(...field.subarray(0, Math.max(field.indexOf(0), 0)));
    const number = field.reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
    if (text.kind === 2) {
      const known = this.#symbols.nameOf('prog', Number(number));
      if (known !== '?') return known;
    }
    return number > BigInt(Number.MAX_SAFE_INTEGER) ? `0x${number.toString(16)}` : Number(number);
  }

  #compareInfo(step: Call, info: Record<string, unknown>, check: Check): void {
    const flat: Record<string, unknown> = { ...info, ...(info.struct_ops as Record<string, unknown> | undefined) };
    const kind = this.#symbols.objects.get(String(step.attr.bpf_fd))!.kind;
    for (const [name, theirs] of Object.entries(step.info!)) {
      check(name, theirs, this.#infoField(kind, name, flat[name] ?? 0));
    }
  }

  #infoField(kind: Bound['kind'], name: string, ours: unknown): unknown {
    const symbols = this.#symbols;
    if (name === 'map_ids') return (ours as number[]).map((id) => symbols.nameOf('map', id));
    if (name === 'id') return symbols.nameOf(kind, Number(ours));
    if (name === 'map_id') return symbols.nameOf('map', Number(ours));
    if (name === 'btf_id') return symbols.nameOf('btf', Number(ours));
    if (/^(btf_vmlinux_value_type_id|attach_btf_id)$/.test(name)) {
      return ours === 0 ? 0 : { struct: symbols.btf.nameOf(Number(ours)) };
    }
    return typeof ours === 'bigint' ? Number(ours) : ours;
  }

  #deed(step: Deed, check: Check): number {
    const kernel = this.#kernel;
    const fd = step.fd === undefined ? -1 : Number(this.#symbols.number(step.fd));
    switch (step.do) {
      case 'close':
        this.#symbols.objects.get(step.fd!)!.fd = -1;
        return this.#closeSocket(step.fd!) ? 0 : kernel.close(fd);
      case 'dup':
        return kernel.dup(fd);
      case 'open':
        return kernel.dup(0); // a file that is no bpf object, as the console is
      case 'settle':
        return 0;
      case 'unlink':
        return kernel.unlink(step.path!);
      case 'poll': {
        const ready = kernel.poll(fd) & (step.events! | POLL_ALWAYS);
        check('revents', step.revents, ready);
        return ready === 0 ? 0 : 1;
      }
      case 'mmap':
        try {
          kernel.mmap(fd).unmap();
          return 0;
        } catch (error) {
          if (error instanceof ErrnoError) return -error.errno;
          throw error;
        }
      case 'cat': {
        const content = this.system.read(step.path!);
        if (content === null) return this.#leave(`${step.path} is not modelled`);
        if (content === undefined) return -2;
        check('content', step.content, content);
        return 0;
      }
      case 'fdinfo':
        return this.#fdinfo(step, fd, check);
      case 'read': {
        const read = kernel.read(fd);
        return typeof read === 'number' ? read : read.length;
      }
      case 'write':
        return this.#leave('bpf objects cannot be read and written as files');
      case 'socket':
        this.#sockets.set(step.as!, this.system.socket());
        return FIRST_SOCKET + this.#sockets.size;
      case 'congestion':
        return this.#sockets.get(step.fd!)!.congestion(step.name!);
      default:
        throw new Error(`${this.recorded.id}: no deed ${step.do}`);
    }
  }

  #fdinfo(step: Deed, fd: number, check: Check): number {
    const text = this.#kernel.fdinfo(fd);
    if (typeof text === 'number') return text;
    const lines = text.trimEnd().split('\n');
    const fields = lines.map((line) => line.split(':\t') as [string, string]);
    const named = fields.map(([name, value]) => {
      const kind = /^(map|link|prog)_id$/.exec(name)?.[1] as Bound['kind'] | undefined;
      return [name, kind ? this.#symbols.nameOf(kind, Number(value)) : value];
    });
    check('content', step.content, Object.fromEntries(named));
    return 0;
  }

  #closeSocket(name: string): boolean {
    this.#sockets.get(name)?.close();
    return this.#sockets.delete(name);
  }

  /** What the end of the recorder's process closes. */
  closeSockets(): void {
    for (const name of this.#sockets.keys()) this.#closeSocket(name);
  }

  #leave(reason: string): number {
    this.#leftOut.push(reason);
    return SKIPPED;
  }
}

type Check = (what: string, theirs: unknown, ours: unknown) => void;

/** Sockets have no fd here; numbers from this one on stand for theirs. */
const FIRST_SOCKET = 1000;

/** Not a result of any call. */
const SKIPPED = Number.MIN_SAFE_INTEGER;

const answerText = (ret: number | string) => (typeof ret === 'number' && ret < 0 ? errnoName(-ret) : ret);

/** Ours as the recording would write it. */
function retText(step: RecordedStep, ret: number): number | string {
  if (ret < 0) return errnoName(-ret);
  if (step.as !== undefined) return step.as;
  return 'cmd' in step && KINDS[step.cmd] !== undefined ? 0 : ret;
}
