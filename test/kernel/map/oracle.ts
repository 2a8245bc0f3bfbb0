// The kernel of this machine as judge: test/oracle/map_run.c does in it what lines of text say, `ours` does the same here.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble } from '../../../src/asm/assemble.js';
import { BtfBuilder } from '../../../src/btf/builder.js';
import type { Kernel } from '../../../src/kernel/kernel.js';
import type { BpfAttr } from '../../../src/kernel/types.js';
import { BPF_MAP_TYPE, BPF_PROG_TYPE } from '../../../src/uapi.js';

export interface Shape {
  type: number;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  extra?: number;
  /** 1: the value is an array of bytes; 2: a struct that begins with a bpf_spin_lock. */
  btf?: number;
}

/** Possible CPUs of this machine, on which LRU lists and per-CPU values depend. */
export function possibleCpus(): number {
  const path = '/sys/devices/system/cpu/possible';
  return existsSync(path) ? Number(/\d+$/.exec(readFileSync(path, 'utf8').trim())![0]) + 1 : 1;
}

export const dir = mkdtempSync(join(tmpdir(), 'map-oracle-'));
const binary = join(dir, 'map_run');

/** Why the machine cannot judge, or undefined. */
export function unavailable(): string | undefined {
  const source = new URL('../../oracle/map_run.c', import.meta.url).pathname;
  const compiled = spawnSync('clang-19', ['-O1', '-o', binary, source], { encoding: 'utf8' });
  if (compiled.error) return 'no clang-19';
  if (compiled.status !== 0) throw new Error(compiled.stderr);
  const probe = judge({ type: 2, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 }, []);
  return probe.status === 77 ? `no bpf(2): ${probe.err}` : undefined;
}

/** Answers of this machine's kernel; status 3: it refuses the map, errno first in `err`. */
export function judge(shape: Shape, lines: readonly string[]): Verdict {
  return run([...argsOf(shape), String(shape.btf ?? 0)], lines);
}

/** For each shape the errno that this machine's kernel refuses such a map with, or 0. */
export function judgeCreation(shapes: readonly Shape[]): number[] {
  const lines = shapes.map((shape) => argsOf(shape).join(' '));
  return run(['create'], lines).out.map(Number);
}

function argsOf({ type, keySize, valueSize, maxEntries, flags, extra = 0 }: Shape): string[] {
  return [type, keySize, valueSize, maxEntries, flags, extra].map(String);
}

function run(args: string[], lines: readonly string[]): Verdict {
  const input = lines.map((line) => `${line}\n`).join('');
  const { status, stdout, stderr } = spawnSync(binary, args, { input, encoding: 'utf8', maxBuffer: 2 ** 28 });
  return { status, out: stdout.split('\n').slice(0, -1), err: stderr };
}

interface Verdict {
  status: number | null;
  out: string[];
  err: string;
}

export const hex = (bytes: Uint8Array) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
const unhex = (text: string) =>
  text === '-' ? undefined : Uint8Array.from(text.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16));
const orNone = (bytes: Uint8Array) => (bytes.length === 0 ? '-' : hex(bytes));

const KEY_POSITIONS: readonly number[] = [
  BPF_MAP_TYPE.ARRAY,
  BPF_MAP_TYPE.PERCPU_ARRAY,
  BPF_MAP_TYPE.LPM_TRIE,
  BPF_MAP_TYPE.ARRAY_OF_MAPS,
];
const STORAGES: readonly number[] = [BPF_MAP_TYPE.TASK_STORAGE, BPF_MAP_TYPE.CGRP_STORAGE];
const PER_CPU: readonly number[] = [BPF_MAP_TYPE.PERCPU_ARRAY, BPF_MAP_TYPE.PERCPU_HASH, BPF_MAP_TYPE.LRU_PERCPU_HASH];

/** Bytes of a value in element commands. */
export function userValueSize({ type, valueSize }: Shape, cpus: number): number {
  return PER_CPU.includes(type) ? Math.ceil(valueSize / 8) * 8 * cpus : valueSize;
}

/** The same map here, and what its lines answer. */
export class Ours {
  readonly fd: number;
  readonly #fds: number[] = [];
  readonly #ids: number[] = [];

  constructor(
    readonly kernel: Kernel,
    readonly shape: Shape,
  ) {
    this.#makeThings();
    const btf = shape.btf === undefined ? undefined : this.#loadBtf(shape);
    this.fd = this.#create(shape, btf);
    if (btf) this.kernel.close(btf.btf_fd);
  }

  close(): void {
    for (const fd of [this.fd, ...this.#fds]) if (fd > 0) this.kernel.close(fd);
    this.#end();
  }

  /** Undoes what is no fd. */
  #end = (): void => {};

  #create({ type, keySize, valueSize, maxEntries, flags, extra = 0 }: Shape, btf = {}): number {
    const ofMaps = type === BPF_MAP_TYPE.ARRAY_OF_MAPS || type === BPF_MAP_TYPE.HASH_OF_MAPS;
    return this.kernel.bpf('MAP_CREATE', {
      map_type: type,
      key_size: keySize,
      value_size: valueSize,
      max_entries: maxEntries,
      map_flags: flags,
      map_extra: BigInt(extra),
      inner_map_fd: ofMaps ? (this.#fds[0] ?? 0) : 0,
      ...btf,
    });
  }

  #loadBtf({ btf: kind, valueSize }: Shape) {
    const b = new BtfBuilder();
    const int = b.int('int', 4);
    const bytes = b.array(b.int('char', 1), kind === 2 ? valueSize - 4 : valueSize, int);
    let value = bytes;
    if (kind === 2) {
      const lock = b.struct('bpf_spin_lock', [{ name: 'val', type: int, bitOffset: 0 }], 4);
      const members = [
        { name: 'lock', type: lock, bitOffset: 0 },
        { name: 'data', type: bytes, bitOffset: 32 },
      ];
      value = b.struct('value', members, valueSize);
    }
    const btf_fd = this.kernel.bpf('BTF_LOAD', { btf: b.parse().raw });
    return { btf_fd, btf_key_type_id: int, btf_value_type_id: value };
  }

  /** Tasks: two, and one that has ended. */
  #makeTasks(): void {
    const { tasks } = this.kernel;
    const made = [1000, 1001, 1002].map((pid) => tasks.create({ pid, comm: `task${pid}` }));
    for (const { pid } of made) this.#fds.push(this.kernel.pidfd(pid));
    tasks.remove(made[2]!);
    this.#end = () => {
      tasks.remove(made[0]!);
      tasks.remove(made[1]!);
    };
  }

  /** Cgroups: two, and one that was removed. */
  #makeCgroups(): void {
    const { cgroups } = this.kernel;
    const made = ['a', 'b', 'gone'].map((name) => cgroups.create(cgroups.root, name));
    for (const { id } of made) this.#fds.push(this.kernel.cgroupFd(id));
    cgroups.remove(made[2]!);
    this.#end = () => {
      cgroups.remove(made[0]!);
      cgroups.remove(made[1]!);
    };
  }

  #makeThings(): void {
    const { type } = this.shape;
    const like = { type: BPF_MAP_TYPE.ARRAY, keySize: 4, valueSize: 8, maxEntries: 3, flags: 0 };
    const makers: Readonly<Partial<Record<number, () => unknown>>> = {
      [BPF_MAP_TYPE.TASK_STORAGE]: () => this.#makeTasks(),
      [BPF_MAP_TYPE.CGRP_STORAGE]: () => this.#makeCgroups(),
      [BPF_MAP_TYPE.CGROUP_ARRAY]: () => {
        this.#makeCgroups();
        this.kernel.close(this.#fds.pop()!);
      },
      [BPF_MAP_TYPE.PERF_EVENT_ARRAY]: () => this.#fds.push(...[0, 0].map((cpu) => this.kernel.perfEventOpen(cpu, 1))),
    };
    const make = makers[type];
    if (make) {
      make();
      this.#fds.push(this.#create(like));
      return;
    }
    if (type === BPF_MAP_TYPE.PROG_ARRAY) {
      const insns = assemble('r0 = 2\nexit\n');
      for (const prog_type of [BPF_PROG_TYPE.SOCKET_FILTER, BPF_PROG_TYPE.SOCKET_FILTER, BPF_PROG_TYPE.XDP]) {
        this.#fds.push(this.kernel.bpf('PROG_LOAD', { prog_type, insns, license: 'GPL' }));
      }
    } else if (type === BPF_MAP_TYPE.ARRAY_OF_MAPS || type === BPF_MAP_TYPE.HASH_OF_MAPS) {
      for (const other of [{}, {}, { valueSize: 16 }, { maxEntries: 4 }]) {
        this.#fds.push(this.#create({ ...like, ...other }));
      }
    }
    for (const fd of this.#fds) {
      const info: Record<string, unknown> = {};
      this.kernel.bpf('OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info });
      this.#ids.push(info.id as number);
    }
  }

  /** Replaces what values stand for, indexes by fds or ids by indexes. */
  #translate(bytes: Uint8Array | undefined, from: (value: number) => number | undefined): void {
    if (!bytes || this.#fds.length === 0) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + 4 <= bytes.length; at += 4) {
      const value = from(view.getUint32(at, true));
      if (value !== undefined) view.setUint32(at, value, true);
    }
  }

  #toFds(bytes: Uint8Array | undefined): void {
    this.#translate(bytes, (value) => this.#fds[value]);
  }

  #fromIds(bytes: Uint8Array): void {
    this.#translate(bytes, (value) => {
      const index = this.#ids.indexOf(value);
      return index < 0 ? undefined : index;
    });
  }

  run(line: string): string {
    const [op, ...words] = line.split(' ') as [string, ...string[]];
    if ('LXUD'.includes(op)) return this.#batch(op, words);
    if (op === 'c') {
      this.kernel.currentCpu = Number(words[0]);
      return '0';
    }
    const { kernel, fd, shape } = this;
    if (op === 'f') {
      const result = kernel.bpf('MAP_FREEZE', { map_fd: fd });
      return result < 0 ? String(result) : '-';
    }
    const key = unhex(words[0]!);
    const keysAreThings = STORAGES.includes(shape.type);
    if (keysAreThings) this.#toFds(key);
    const attr = { map_fd: fd, ...(key && { key }) };
    const value = new Uint8Array(userValueSize(shape, kernel.cpus));
    switch (op) {
      case 'u': {
        const bytes = unhex(words[1]!);
        if (!keysAreThings) this.#toFds(bytes);
        const result = kernel.bpf('MAP_UPDATE_ELEM', { ...attr, value: bytes!, flags: Number(words[2]) });
        return result < 0 ? String(result) : '-';
      }
      case 'd': {
        const result = kernel.bpf('MAP_DELETE_ELEM', attr);
        return result < 0 ? String(result) : '-';
      }
      case 'l': {
        const given = unhex(words[1]!);
        if (given) value.set(given);
        const result = kernel.bpf('MAP_LOOKUP_ELEM', { ...attr, value });
        this.#fromIds(value);
        return result < 0 ? String(result) : orNone(value);
      }
      case 'x': {
        const result = kernel.bpf('MAP_LOOKUP_AND_DELETE_ELEM', { ...attr, value, flags: Number(words[1]) });
        return result < 0 ? String(result) : orNone(value);
      }
      default: {
        const next_key = new Uint8Array(shape.keySize);
        const result = kernel.bpf('MAP_GET_NEXT_KEY', { ...attr, next_key });
        return result < 0 ? String(result) : orNone(next_key);
      }
    }
  }

  #batch(op: string, words: string[]): string {
    const { kernel, fd: map_fd, shape } = this;
    const size = userValueSize(shape, kernel.cpus);
    if (op === 'D' || op === 'U') {
      const [count, elem_flags] = words.slice(op === 'U' ? 2 : 1).map(Number) as [number, number];
      const keys = unhex(words[0]!) ?? new Uint8Array(0);
      const values = op === 'U' ? unhex(words[1]!)! : new Uint8Array(0);
      this.#toFds(values);
      const attr = { map_fd, keys, values, count, elem_flags };
      const result = kernel.bpf(op === 'U' ? 'MAP_UPDATE_BATCH' : 'MAP_DELETE_BATCH', attr);
      return `${result} ${attr.count}`;
    }
    const [count, elem_flags] = words.slice(1).map(Number) as [number, number];
    const out_batch = new Uint8Array(KEY_POSITIONS.includes(shape.type) ? shape.keySize : 4);
    const in_batch = unhex(words[0]!);
    const attr: BpfAttr['MAP_LOOKUP_BATCH'] = {
      map_fd,
      out_batch,
      keys: new Uint8Array(count * shape.keySize),
      values: new Uint8Array(count * size),
      count,
      elem_flags,
      ...(in_batch && { in_batch }),
    };
    const result = kernel.bpf(op === 'L' ? 'MAP_LOOKUP_BATCH' : 'MAP_LOOKUP_AND_DELETE_BATCH', attr);
    const done = result === 0 || result === -2 ? attr.count : 0;
    const values = attr.values!.subarray(0, done * size);
    this.#fromIds(values);
    const keys = attr.keys!.subarray(0, done * shape.keySize);
    return `${result} ${attr.count} ${hex(out_batch)} ${orNone(keys)} ${orNone(values)}`;
  }
}
