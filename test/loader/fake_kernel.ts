import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Btf } from '../../src/btf/btf.js';
import { ERRNO } from '../../src/errno.js';
import type { BpfAttr, Profile } from '../../src/kernel/types.js';
import type { KernelDoor, MapMemory } from '../../src/loader/door.js';

type Cmd = keyof BpfAttr;
export type Call<C extends Cmd = Cmd> = { [K in C]: { cmd: K; attr: BpfAttr[K]; result: number } }[C];

/** A kernel that takes everything, writes down what it was asked, and knows which fds are open. */
export class FakeKernel implements KernelDoor {
  readonly cpus = 4;
  readonly calls: Call[] = [];
  readonly open = new Set<number>();
  /** Info of pinned maps by path. */
  readonly pins = new Map<string, Record<string, unknown>>();
  readonly mappings = new Map<number, { offset: number; bytes: Uint8Array }[]>();
  /** Module BTFs by name. */
  modules: { name: string; btf: Uint8Array }[] = [];
  #nextFd = 3;
  #values = new Map<number, Uint8Array>();
  #pinned = new Map<number, Record<string, unknown>>();
  /** Answers of one command's n-th call instead of success. */
  readonly refusals: { cmd: Cmd; nth: number; errno: number; log?: string }[] = [];

  constructor(readonly profile: Profile) {}

  readonly bpf = <C extends Cmd>(cmd: C, attr: BpfAttr[C]): number => {
    const nth = this.calls.filter((call) => call.cmd === cmd).length;
    const refusal = this.refusals.find((candidate) => candidate.cmd === cmd && candidate.nth === nth);
    if (refusal?.log && 'log' in attr && attr.log) attr.log.text = refusal.log;
    const result = refusal ? -refusal.errno : this.#answer(cmd, attr as never);
    this.calls.push({ cmd, attr: structuredClone(attr), result } as Call);
    return result;
  };

  close(fd: number): number {
    return this.open.delete(fd) ? 0 : -ERRNO.EBADF;
  }

  unlink(path: string): number {
    return this.pins.delete(path) ? 0 : -ERRNO.ENOENT;
  }

  mmap(fd: number): MapMemory {
    const writes: { offset: number; bytes: Uint8Array }[] = [];
    this.mappings.set(fd, writes);
    return {
      read: (offset, bytes) => {
        const found = writes.find(
          (write) => write.offset <= offset && offset + bytes <= write.offset + write.bytes.length,
        );
        return found ? found.bytes.slice(offset - found.offset, offset - found.offset + bytes) : new Uint8Array(bytes);
      },
      write: (offset, bytes) => void writes.unshift({ offset, bytes: bytes.slice() }),
      unmap: () => void this.mappings.delete(fd),
    };
  }

  /** Recorded calls of one command. */
  of<C extends Cmd>(cmd: C): Call<C>[] {
    return this.calls.filter((call) => call.cmd === cmd) as unknown as Call<C>[];
  }

  /** The MAP_CREATE call of the map with this kernel name. */
  map(name: string): Call<'MAP_CREATE'> {
    const found = this.of('MAP_CREATE').find((call) => call.attr.map_name === name && call.result >= 0);
    if (!found) throw new Error(`no map ${name}; have ${this.of('MAP_CREATE').map((call) => call.attr.map_name)}`);
    return found;
  }

  prog(name: string): Call<'PROG_LOAD'> {
    const found = this.of('PROG_LOAD').find((call) => call.attr.prog_name === name);
    if (!found) throw new Error(`no program ${name}`);
    return found;
  }

  #fd(): number {
    const fd = this.#nextFd++;
    this.open.add(fd);
    return fd;
  }

  #answer(cmd: Cmd, attr: never): number {
    switch (cmd) {
      case 'MAP_CREATE':
      case 'PROG_LOAD':
      case 'BTF_LOAD':
      case 'LINK_CREATE':
        return this.#fd();
      case 'MAP_UPDATE_ELEM': {
        const { map_fd, value } = attr as BpfAttr['MAP_UPDATE_ELEM'];
        this.#values.set(map_fd, value.slice());
        return 0;
      }
      case 'MAP_LOOKUP_ELEM': {
        const { map_fd, value } = attr as BpfAttr['MAP_LOOKUP_ELEM'];
        const stored = this.#values.get(map_fd);
        if (!stored) return -ERRNO.ENOENT;
        value.set(stored);
        return 0;
      }
      case 'OBJ_PIN': {
        const { pathname, bpf_fd } = attr as BpfAttr['OBJ_PIN'];
        const created = this.of('MAP_CREATE').find(({ result }) => result === bpf_fd)?.attr;
        this.pins.set(pathname, { ...created, type: created?.map_type });
        return 0;
      }
      case 'OBJ_GET': {
        const info = this.pins.get((attr as BpfAttr['OBJ_GET']).pathname);
        if (!info) return -ERRNO.ENOENT;
        const fd = this.#fd();
        this.#pinned.set(fd, info);
        return fd;
      }
      case 'BTF_GET_NEXT_ID': {
        const cursor = attr as BpfAttr['BTF_GET_NEXT_ID'];
        // Id 1 is vmlinux, modules follow.
        if (cursor.start_id > this.modules.length) return -ERRNO.ENOENT;
        cursor.next_id = cursor.start_id + 1;
        return 0;
      }
      case 'BTF_GET_FD_BY_ID': {
        const fd = this.#fd();
        this.#values.set(fd, Uint8Array.of((attr as BpfAttr['BTF_GET_FD_BY_ID']).btf_id));
        return fd;
      }
      case 'OBJ_GET_INFO_BY_FD': {
        const { bpf_fd, info } = attr as BpfAttr['OBJ_GET_INFO_BY_FD'];
        const id = this.#values.get(bpf_fd)?.[0] ?? 0;
        const pinned = this.#pinned.get(bpf_fd);
        if (pinned) {
          Object.assign(info, pinned);
          return 0;
        }
        const module = this.modules[id - 2];
        Object.assign(info, { id, kernel_btf: 1, name: module?.name ?? 'vmlinux', btf: module?.btf });
        return 0;
      }
      default:
        return 0;
    }
  }
}

const profiles = new Map<string, Profile>();

/** A shipped profile without the kernel around it. */
export function shippedProfile(name: '7.3' | '6.18' | '6.12'): Profile {
  let profile = profiles.get(name);
  if (!profile) {
    const file = (ending: string) => readFileSync(new URL(`../../profiles/${name}.${ending}`, import.meta.url));
    const [major = 0, minor = 0] = name.split('.').map(Number);
    profile = makeProfile(Btf.parse(gunzipSync(file('btf.gz'))), {
      name,
      version: major * 65536 + minor * 256,
      config: JSON.parse(file('config.json').toString()),
    });
    profiles.set(name, profile);
  }
  return profile;
}

/** A profile around any BTF. */
export function makeProfile(
  btf: Btf,
  { name = 'test', version = 0x70304, config = {} as Record<string, string> } = {},
): Profile {
  const behaviours = { config, structOpsAssociation: true } as Profile['behaviours'];
  return { name, release: name, version, btf, behaviours };
}
