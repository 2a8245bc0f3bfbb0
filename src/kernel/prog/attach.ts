import { BTF_KIND } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import { BPF_ATTACH_TYPE, BPF_PROG_TYPE } from '../../uapi.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import { answered } from '../struct_ops/answer.js';
import { unregistered } from '../struct_ops/create.js';
import { type MemberDesc, type StructOpsDesc, VALUE_PREFIX } from '../struct_ops/desc.js';
import { isReliable } from '../trace/trampoline.js';
import type { VerifierLog } from './log.js';
import type { BpfProg } from './prog.js';

/** Highest type id that the kernel lets a program name (BTF_MAX_TYPE, include/uapi/linux/btf.h). */
const BTF_MAX_TYPE = 0x000fffff;

/** Program types whose target is named by a BTF id. */
const BTF_ATTACHED: ReadonlySet<number> = new Set([
  BPF_PROG_TYPE.TRACING,
  BPF_PROG_TYPE.LSM,
  BPF_PROG_TYPE.STRUCT_OPS,
  BPF_PROG_TYPE.EXT,
]);

/** What PROG_LOAD was told to attach to: types of the kernel, or another program. */
export interface LoadTarget {
  attachBtf: BtfObject | null;
  dstProg: BpfProg | null;
}

/**
 * Attach types that go with a program type and a BTF target (kernel: bpf_prog_load_check_attach). Types without a rule of
 * their own accept any expected_attach_type.
 */
export function checkLoadAttach(
  type: number,
  expectedAttachType: number,
  { attachBtf, dstProg }: LoadTarget,
  attachBtfId: number,
): number {
  if (attachBtfId !== 0) {
    if (attachBtfId > BTF_MAX_TYPE || (!attachBtf && !dstProg) || !BTF_ATTACHED.has(type)) return -ERRNO.EINVAL;
  }
  if (attachBtf && attachBtfId === 0) return -ERRNO.EINVAL;
  if (dstProg && type !== BPF_PROG_TYPE.TRACING && type !== BPF_PROG_TYPE.EXT) return -ERRNO.EINVAL;
  if ((type === BPF_PROG_TYPE.SYSCALL || type === BPF_PROG_TYPE.EXT) && expectedAttachType !== 0) {
    return -ERRNO.EINVAL;
  }
  return 0;
}

/** Kernel: can_be_sleepable. */
function canBeSleepable(prog: BpfProg): boolean {
  switch (prog.type) {
    case BPF_PROG_TYPE.TRACING:
      return (
        prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_FENTRY ||
        prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_FEXIT ||
        prog.expectedAttachType === BPF_ATTACH_TYPE.MODIFY_RETURN ||
        prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_ITER
      );
    case BPF_PROG_TYPE.LSM:
    case BPF_PROG_TYPE.KPROBE:
    case BPF_PROG_TYPE.STRUCT_OPS:
      return true;
    default:
      return false;
  }
}

/** Kernel: check_attach_btf_id. */
export function checkAttachBtfId(kernel: Kernel, log: VerifierLog, prog: BpfProg, hasTailCall: boolean): number {
  if (prog.type === BPF_PROG_TYPE.SYSCALL) {
    return prog.sleepable ? 0 : log.fail(-ERRNO.EINVAL, 'Syscall programs can only be sleepable');
  }
  if (prog.sleepable && !canBeSleepable(prog)) {
    return log.fail(
      -ERRNO.EINVAL,
      'Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable',
    );
  }
  switch (prog.type) {
    case BPF_PROG_TYPE.STRUCT_OPS:
      return checkStructOpsBtfId(kernel, log, prog, hasTailCall);
    case BPF_PROG_TYPE.TRACING:
    case BPF_PROG_TYPE.LSM:
    case BPF_PROG_TYPE.EXT:
      return checkAttachTarget(kernel, log, prog);
    default:
      return 0;
  }
}

/** Type and member that a struct_ops program names, as far as they exist. */
export function structOpsTarget(prog: BpfProg): { desc: StructOpsDesc; member: MemberDesc | undefined } | undefined {
  const { attachBtf, attachBtfId } = prog.aux;
  if (prog.type !== BPF_PROG_TYPE.STRUCT_OPS || !attachBtf || attachBtfId === 0) return undefined;
  const desc = attachBtf.structOps.find((candidate) => candidate.structId === attachBtfId);
  return desc && { desc, member: desc.members[prog.expectedAttachType] };
}

/** A struct of the kernel's struct_ops types that nobody registered here (struct_ops/create.ts). */
function refuseUnregistered({ view }: BtfObject, structId: number): void {
  if (structId >= view.typeCount || view.kindOf(structId) !== BTF_KIND.STRUCT) return;
  const name = view.nameOf(structId);
  if (view.find(`${VALUE_PREFIX}${name}`, BTF_KIND.STRUCT) !== 0) throw unregistered(name);
}

/** Kernel: check_struct_ops_btf_id; on success the program knows its type and member. */
function checkStructOpsBtfId(kernel: Kernel, log: VerifierLog, prog: BpfProg, hasTailCall: boolean): number {
  if (!prog.gplCompatible) {
    return log.fail(-ERRNO.EINVAL, 'struct ops programs must have a GPL compatible license');
  }
  const { aux } = prog;
  if (!aux.attachBtf || aux.attachBtfId === 0) return -ERRNO.ENOTSUPP;
  const target = structOpsTarget(prog);
  if (!target) {
    refuseUnregistered(aux.attachBtf, aux.attachBtfId);
    return log.fail(-ERRNO.ENOTSUPP, `attach_btf_id ${aux.attachBtfId} is not a supported struct`);
  }
  const { desc, member } = target;
  const index = prog.expectedAttachType;
  if (!member) {
    return log.fail(-ERRNO.EINVAL, `attach to invalid member idx ${index} of struct ${desc.name}`);
  }
  if (member.kind !== 'func') {
    return log.fail(-ERRNO.EINVAL, `attach to invalid member ${member.name}(@idx ${index}) of struct ${desc.name}`);
  }
  const unsupported = `attach to unsupported member ${member.name} of struct ${desc.name}`;
  if (!member.model) return log.fail(-ERRNO.ENOTSUPP, unsupported);
  if (desc.def.check_member) {
    const refused = answered(desc.def, 'check_member', desc.def.check_member(member.name, prog));
    if (refused !== 0) return log.fail(refused, unsupported);
  }
  if (!aux.arena && hasArenaArgument(prog)) {
    const text = `arena argument of ${member.name} requires a program with an associated arena`;
    return log.fail(-ERRNO.EINVAL, text);
  }
  if (hasTailCall && member.model.args.some((arg) => arg.tag === 'ref')) {
    return log.fail(-ERRNO.EINVAL, 'program with __ref argument cannot tail call');
  }
  aux.structOps = desc;
  aux.memberIndex = index;
  aux.attachFuncName = member.name;
  if (!kernel.profile.behaviours.structOpsPrivateStack) aux.priv_stack_requested = false;
  return 0;
}

/** Kernel: bpf_check_attach_target, the part that the BTF decides. */
function checkAttachTarget(kernel: Kernel, log: VerifierLog, prog: BpfProg): number {
  const { attachBtf, attachBtfId, dstProg } = prog.aux;
  const fail = (text: string) => log.fail(-ERRNO.EINVAL, text);
  if (attachBtfId === 0) return fail('Tracing programs must provide btf_id');
  const btf = (dstProg ? dstProg.aux.btf : attachBtf)?.view;
  if (!btf) return fail('Tracing program can only be attached to another program annotated with BTF');
  if (attachBtfId >= btf.typeCount) return fail(`attach_btf_id ${attachBtfId} is invalid`);
  const name = btf.nameOf(attachBtfId);
  if (name === '') return fail(`attach_btf_id ${attachBtfId} doesn't have a name`);
  if (dstProg) {
    const refused = checkTargetProg(kernel, log, prog, dstProg);
    if (refused < 0) return refused;
  } else if (prog.type === BPF_PROG_TYPE.EXT) {
    return fail('Cannot replace kernel functions');
  }
  const kind = btf.kindOf(attachBtfId);
  if (prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_RAW_TP) {
    if (kind !== BTF_KIND.TYPEDEF) return fail(`attach_btf_id ${attachBtfId} is not a typedef`);
    if (!name.startsWith('btf_trace_')) return fail(`attach_btf_id ${attachBtfId} points to wrong type name ${name}`);
    prog.aux.attachFuncName = name.slice('btf_trace_'.length);
    return 0;
  }
  if (kind !== BTF_KIND.FUNC) return fail(`attach_btf_id ${attachBtfId} is not a function`);
  if (dstProg) {
    // Not within_error_injection_list.
    if (prog.sleepable) return fail(`${name} is not sleepable`);
    if (prog.expectedAttachType === BPF_ATTACH_TYPE.MODIFY_RETURN)
      return fail("can't modify return codes of BPF programs");
    if (prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_ITER) return -ERRNO.EINVAL;
  }
  prog.aux.attachFuncName = name;
  return 0;
}

/** The same for a target that is a BPF program. */
function checkTargetProg(kernel: Kernel, log: VerifierLog, prog: BpfProg, target: BpfProg): number {
  const fail = (text: string, errno: number = ERRNO.EINVAL) => log.fail(-errno, text);
  const { aux } = target;
  const { attachBtfId } = prog.aux;
  const extension = prog.type === BPF_PROG_TYPE.EXT;
  const subprog = aux.funcInfo.findIndex(({ typeId }) => typeId === attachBtfId);
  if (subprog < 0) return fail(`Subprog ${aux.btf?.view.nameOf(attachBtfId)} doesn't exist`);
  if (subprog === 0 && hasArenaArgument(target)) {
    return fail('Cannot attach to a target with arena context arguments', ERRNO.EOPNOTSUPP);
  }
  if (aux.funcInfo[subprog]!.insn === aux.exceptionCallback) {
    return fail(`${extension ? 'Extension' : 'Tracing'} programs cannot attach to exception callback`);
  }
  if (extension && subprog === 0 && !isReliable(kernel, target)) return fail('Cannot replace static functions');
  if (!extension) {
    if (aux.attachTracingProg) return fail('Cannot nest tracing program attach more than once');
    if (prog.expectedAttachType === BPF_ATTACH_TYPE.TRACE_RAW_TP) {
      const sessions = kernel.profile.btf.enumerator('BPF_TRACE_FSESSION') === undefined ? '' : '/FSESSION';
      return fail(`Only FENTRY/FEXIT${sessions} progs are attachable to another BPF prog`);
    }
    return 0;
  }
  if (target.type === prog.type) return fail('Cannot recursively attach');
  const around: readonly number[] = [BPF_ATTACH_TYPE.TRACE_FENTRY, BPF_ATTACH_TYPE.TRACE_FEXIT];
  if (target.type === BPF_PROG_TYPE.TRACING && around.includes(target.expectedAttachType)) {
    return fail('Cannot extend fentry/fexit');
  }
  return 0;
}

/** Kernel: bpf_prog_has_arena_ctx_arg. */
function hasArenaArgument(prog: BpfProg): boolean {
  const args = structOpsTarget(prog)?.member?.model?.args ?? [];
  return args.some(({ tag }) => tag === 'arena' || tag === 'arena_nullable');
}
