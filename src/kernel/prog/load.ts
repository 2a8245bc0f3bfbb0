import { MAX_INSNS, VERIFY_FALLS_OFF_END, VERIFY_LD_IMM64_HALF, VERIFY_WRITE_R10 } from '../../../assembly/abi.js';
import { ERRNO } from '../../errno.js';
import { BPF_F_SLEEPABLE, BPF_PROG_TYPE } from '../../uapi.js';
import { VerifyError } from '../../vm/verify.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import { badToken } from '../map/create.js';
import { ProgArrayMap } from '../map/prog_array.js';
import { showSignals } from '../model/signal.js';
import { objName } from '../name.js';
import type { BpfAttr } from '../types.js';
import { checkAttachBtfId, checkLoadAttach, type LoadTarget, structOpsTarget } from './attach.js';
import { checkFuncInfo, parseFuncInfo, parseLineInfo } from './info.js';
import { VerifierLog } from './log.js';
import { rewritePacketLoads } from './packet.js';
import { BpfProg, type FuncInfo } from './prog.js';
import { type CallFilter, Resolver } from './resolve.js';

/** Flags that bpf_prog_load knows: alignment, sleepable, test and XDP switches, token. */
const BPF_F_XDP_HAS_FRAGS = 1 << 5;
const BPF_F_TOKEN_FD = 1 << 16;
const PROG_FLAGS = 0xff | BPF_F_TOKEN_FD;

/** Kernel: license_is_gpl_compatible. */
const GPL_LICENSES: ReadonlySet<string> = new Set([
  'GPL',
  'GPL v2',
  'GPL and additional rights',
  'Dual BSD/GPL',
  'Dual MIT/GPL',
  'Dual MPL/GPL',
]);

const PROG_TYPES: ReadonlySet<number> = new Set(
  Object.values(BPF_PROG_TYPE).filter((type) => type !== BPF_PROG_TYPE.UNSPEC),
);

/** BPF_PROG_LOAD (kernel: bpf_prog_load, then bpf_check). */
export function progLoad(kernel: Kernel, attr: BpfAttr['PROG_LOAD']): number {
  const flags = attr.prog_flags ?? 0;
  if ((flags & ~PROG_FLAGS) !== 0) return -ERRNO.EINVAL;
  if ((flags & BPF_F_TOKEN_FD) !== 0) return badToken(kernel, attr.prog_token_fd ?? 0);
  if (!(attr.insns instanceof Uint8Array)) return -ERRNO.EFAULT;
  const insnCount = Math.floor(attr.insns.length / 8);
  if (insnCount === 0 || insnCount > MAX_INSNS) return -ERRNO.E2BIG;

  const target = findTarget(kernel, attr);
  if (typeof target === 'number') return target;
  const { attachBtf, dstProg } = target;
  const type = attr.prog_type;
  const attachBtfId = attr.attach_btf_id ?? 0;
  const expectedAttachType = attr.expected_attach_type ?? 0;
  const badAttach = checkLoadAttach(type, expectedAttachType, target, attachBtfId);
  if (badAttach < 0) return badAttach;
  if (typeof attr.license !== 'string') return -ERRNO.EFAULT;
  if (!PROG_TYPES.has(type)) return -ERRNO.EINVAL;
  const name = objName(attr.prog_name ?? '');
  if (typeof name === 'number') return name;

  const prog = new BpfProg(
    kernel,
    name,
    type,
    expectedAttachType,
    (flags & BPF_F_SLEEPABLE) !== 0,
    GPL_LICENSES.has(attr.license),
    attr.insns.slice(0, insnCount * 8),
  );
  prog.aux.attachBtf = attachBtf;
  attachBtf?.refs.inc();
  prog.aux.attachBtfId = attachBtfId;
  prog.aux.dstProg = dstProg;
  dstProg?.inc();
  prog.aux.attachTracingProg = type === BPF_PROG_TYPE.TRACING && dstProg?.type === BPF_PROG_TYPE.TRACING;
  prog.aux.xdpHasFrags = (flags & BPF_F_XDP_HAS_FRAGS) !== 0;
  prog.aux.loadTime = kernel.clock.now;
  let result: number;
  try {
    result = check(kernel, prog, attr);
  } catch (error) {
    prog.destroy();
    throw error;
  }
  if (result < 0) {
    prog.destroy();
    return result;
  }
  return publish(kernel, prog);
}

/** What attach_btf_id refers to: BTF of the kernel, the BTF of a program, or nothing; or -errno. */
function findTarget(kernel: Kernel, attr: BpfAttr['PROG_LOAD']): LoadTarget | number {
  const fd = attr.attach_prog_fd || attr.attach_btf_obj_fd || 0;
  if (fd !== 0) {
    const dstProg = kernel.fds.prog(fd);
    if (typeof dstProg !== 'number') return { attachBtf: null, dstProg };
    const btf = kernel.fds.btf(fd);
    if (typeof btf === 'number') return -ERRNO.EINVAL;
    return btf.isKernel ? { attachBtf: btf, dstProg: null } : -ERRNO.ENOTSUPP;
  }
  return { attachBtf: attr.attach_btf_id ? kernel.vmlinux : null, dstProg: null };
}

/** Kernel: bpf_check, without the verification itself: the core's structural checks stand in its place. */
function check(kernel: Kernel, prog: BpfProg, attr: BpfAttr['PROG_LOAD']): number {
  const log = new VerifierLog(attr.log);
  const result = checkAndBuild(kernel, prog, attr, log);
  log.stats(result < 0 ? 0 : prog.aux.verifiedInsns);
  return result;
}

function checkAndBuild(kernel: Kernel, prog: BpfProg, attr: BpfAttr['PROG_LOAD'], log: VerifierLog): number {
  const { aux } = prog;
  let funcInfo: FuncInfo[] = [];
  if (attr.func_info?.length || attr.line_info?.length) {
    const btf = kernel.fds.btf(attr.prog_btf_fd ?? 0);
    if (typeof btf === 'number') return btf;
    if (btf.isKernel) return -ERRNO.EACCES;
    btf.refs.inc();
    aux.btf = btf;
    const parsed = parseFuncInfo(log, btf.view, attr);
    if (typeof parsed === 'number') return parsed;
    funcInfo = parsed;
  }
  const resolver = new Resolver(kernel, log, prog, attr, prog.insns.slice());
  aux.exceptionCallback = exceptionCallback(aux.btf, funcInfo);
  resolver.exceptionCallback = aux.exceptionCallback;
  let result = resolver.subprogsAndKfuncs();
  if (result < 0) return result;
  if (aux.btf) {
    result = checkFuncInfo(log, funcInfo, resolver.subprogs);
    if (result < 0) return result;
    const lines = parseLineInfo(log, aux.btf.view, attr, prog.insns, resolver.subprogs);
    if (typeof lines === 'number') return lines;
    aux.funcInfo = funcInfo;
    aux.lineInfo = lines;
  }
  result = resolver.ldImm64();
  if (result < 0) return result;
  // The verifier looks at the program's structure before its target, and at the functions it calls after both.
  const refused = resolver.callTargets(callFilter(kernel, prog));
  result = build(kernel, prog, resolver, log);
  if (result < 0) return result;
  result = checkAttachBtfId(kernel, log, prog, resolver.hasTailCall);
  if (result < 0) return result;
  prog.aux.verifiedInsns = resolver.insnStarts;
  if (refused) return log.fail(refused.errno, refused.text);
  // Kernel: bpf_check_tail_call.
  const fits = aux.used_maps.every((map) => !(map instanceof ProgArrayMap) || map.compatible(prog));
  return fits ? 0 : -ERRNO.EINVAL;
}

/**
 * Insn where bpf_throw ends: the function that the main program's decl tag `exception_callback:NAME` names (kernel:
 * bpf_find_exception_callback_insn_off).
 */
function exceptionCallback(btf: BtfObject | null, funcInfo: readonly FuncInfo[]): number | null {
  const [main] = funcInfo;
  if (!btf || !main) return null;
  const prefix = 'exception_callback:';
  const tag = btf.declTags.find(({ type, name }) => type === main.typeId && name.startsWith(prefix));
  return funcInfo.find((entry) => entry.name === tag?.name.slice(prefix.length))?.insn ?? null;
}

/** What the program may call by its type, and by the subsystem behind it. */
function callFilter(kernel: Kernel, prog: BpfProg): CallFilter {
  const byType = (name: string) => kernel.kfuncs.mayCall(name, prog.type);
  const target = structOpsTarget(prog);
  const member = target?.member?.model ? target.member.name : undefined;
  if (!target || member === undefined) return { kfunc: byType };
  const { get_func_proto, kfunc_filter } = target.desc.def;
  return {
    ...(get_func_proto && { helper: (name) => get_func_proto(name, member) }),
    kfunc: (name) => byType(name) && kfunc_filter?.(name, member) !== false,
  };
}

/** What the subsystem lets the program write; a program that the attach check will refuse writes nothing. */
function writeClasses(prog: BpfProg): number {
  const target = structOpsTarget(prog);
  return target?.member?.model ? (target.desc.def.write_classes?.(target.member.name, prog) ?? 0) : 0;
}

/** The kernel's words for what the core's structural checks found, where it has the same. */
const KERNEL_TEXT: Readonly<Record<number, string>> = {
  [VERIFY_FALLS_OFF_END]: 'last insn is not an exit or jmp',
  [VERIFY_WRITE_R10]: 'frame pointer is read only',
  [VERIFY_LD_IMM64_HALF]: 'invalid bpf_ld_imm64 insn',
};

/** Hands the program to the core. */
function build(kernel: Kernel, prog: BpfProg, resolver: Resolver, log: VerifierLog): number {
  showSignals(kernel, resolver.insns);
  rewritePacketLoads(kernel, prog.type, resolver.insns, resolver.subprogs);
  try {
    const vmProg = kernel.vm.loadProg({
      name: prog.name,
      insns: resolver.insns,
      calls: resolver.calls,
      checks: kernel.checks,
      faults: kernel.faults,
      engine: kernel.engine,
      ...(resolver.exceptionCallback === null ? {} : { exceptionCallback: resolver.exceptionCallback }),
      ...(prog.aux.arena ? { arena: prog.aux.arena.handle } : {}),
      arenaFetchZeroes: kernel.profile.behaviours.arenaFetchZeroes,
      writeClasses: writeClasses(prog),
      contextSlots: structOpsTarget(prog)?.member?.model?.slots ?? 0,
    });
    prog.vm = vmProg;
    kernel.rememberVmProg(vmProg, prog);
    return 0;
  } catch (error) {
    if (!(error instanceof VerifyError)) throw error;
    return log.fail(-ERRNO.EINVAL, KERNEL_TEXT[error.code] ?? error.message);
  }
}

function publish(kernel: Kernel, prog: BpfProg): number {
  const id = kernel.progs.alloc(prog);
  if (id < 0) {
    prog.destroy();
    return id;
  }
  prog.id = id;
  const fd = kernel.fds.open(prog);
  if (fd < 0) prog.put();
  return fd;
}
