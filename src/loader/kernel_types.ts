import { Btf } from '../btf/btf.js';
import type { BtfKind, BtfView } from '../btf/types.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { VmtableError, within } from '../errors.js';
import { bpf, type FdSet, type KernelDoor } from './door.js';

/** BTF of the kernel proper or of one of its modules. */
export interface KernelBtf {
  btf: BtfView;
  /** 0 for the kernel proper. */
  fd: number;
  name: string;
}

/** Types of the kernel by name: its own BTF first, then those of its modules, which are asked for only when needed. */
export class KernelTypes {
  readonly vmlinux: KernelBtf;
  #modules: KernelBtf[] | undefined;

  constructor(
    btf: BtfView,
    readonly loadModules: () => KernelBtf[] = () => [],
  ) {
    this.vmlinux = { btf, fd: 0, name: 'vmlinux' };
  }

  get modules(): readonly KernelBtf[] {
    this.#modules ??= this.loadModules();
    return this.#modules;
  }

  /** Modules whose BTF was asked for. */
  get loadedModules(): readonly KernelBtf[] {
    return this.#modules ?? [];
  }

  /** The type `name` of one of these kinds, or undefined (libbpf: find_ksym_btf_id). */
  find(name: string, ...kinds: BtfKind[]): { id: number; in: KernelBtf } | undefined {
    const id = this.vmlinux.btf.find(name, ...kinds);
    if (id > 0) return { id, in: this.vmlinux };
    for (const module of this.modules) {
      const own = this.findOwn(module, name, ...kinds);
      if (own) return own;
    }
    return undefined;
  }

  /** A type that a module defines itself. */
  findOwn(module: KernelBtf, name: string, ...kinds: BtfKind[]): { id: number; in: KernelBtf } | undefined {
    const id = module.btf.findAll(name).find((at) => {
      return at >= this.vmlinux.btf.typeCount && kinds.includes(module.btf.kindOf(at));
    });
    return id === undefined ? undefined : { id, in: module };
  }
}

/** The module BTFs that a kernel knows, in order of id (libbpf: load_module_btfs). Their fds belong to `fds`. */
export function loadModuleBtfs(kernel: KernelDoor, fds: FdSet): KernelBtf[] {
  const modules: KernelBtf[] = [];
  const cursor: { start_id: number; next_id?: number } = { start_id: 0 };
  for (;;) {
    const result = kernel.bpf('BTF_GET_NEXT_ID', cursor);
    if (result === -ERRNO.ENOENT) return modules;
    if (result < 0) throw new ErrnoError(-result, 'failed to iterate BTF objects');
    cursor.start_id = cursor.next_id ?? 0;
    const what = `failed to get BTF object #${cursor.start_id}`;
    const fd = fds.keep(bpf(kernel, 'BTF_GET_FD_BY_ID', { btf_id: cursor.start_id }, what));
    const info: { name?: string; kernel_btf?: unknown; btf?: Uint8Array } = {};
    bpf(kernel, 'OBJ_GET_INFO_BY_FD', { bpf_fd: fd, info }, `${what} info`);
    const { name = '', btf } = info;
    if (!info.kernel_btf || name === 'vmlinux' || !btf) {
      fds.close(fd);
      continue;
    }
    const base = kernel.profile.btf;
    if (!(base instanceof Btf)) throw new VmtableError(`module "${name}": the kernel's own BTF is not parsed BTF`);
    modules.push({ fd, name, btf: within(`module "${name}"`, () => Btf.parse(btf, base)) });
  }
}
