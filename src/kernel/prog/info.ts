import { LINE_WORDS, NO_LINES } from '../../btf/lines.js';
import { BTF_KIND, type BtfView } from '../../btf/types.js';
import { ERRNO } from '../../errno.js';
import type { BpfAttr } from '../types.js';
import type { VerifierLog } from './log.js';
import type { FuncInfo } from './prog.js';

// func_info and line_info of PROG_LOAD (kernel: check_btf_func_early, check_btf_func, check_btf_line in
// kernel/bpf/verifier.c). Records: { u32 insn_off, type_id } and { u32 insn_off, file_name_off, line_off, line_col }, in
// units of insns; line_col is line << 10 | column.

const FUNC_INFO_BYTES = 8;
const LINE_INFO_BYTES = 16;
const MAX_RECORD_BYTES = 252;

type Attr = BpfAttr['PROG_LOAD'];

/** Records of `size` bytes each, of which the kernel knows the first `known`; or -errno. */
function records(
  log: VerifierLog,
  what: string,
  bytes: Uint8Array,
  size: number,
  known: number,
): { view: DataView; count: number } | number {
  if (size < known || size > MAX_RECORD_BYTES || size % 4 !== 0) {
    return log.fail(-ERRNO.EINVAL, `invalid ${what} rec size ${size}`);
  }
  const count = Math.floor(bytes.length / size);
  for (let i = 0; size > known && i < count; i++) {
    if (bytes.subarray(i * size + known, (i + 1) * size).some((byte) => byte !== 0)) {
      return log.fail(-ERRNO.E2BIG, `nonzero tailing record in ${what}`);
    }
  }
  return { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), count };
}

export function parseFuncInfo(log: VerifierLog, btf: BtfView, attr: Attr): FuncInfo[] | number {
  const bytes = attr.func_info;
  if (!bytes || bytes.length === 0) return [];
  const size = attr.func_info_rec_size ?? FUNC_INFO_BYTES;
  const found = records(log, 'func info', bytes, size, FUNC_INFO_BYTES);
  if (typeof found === 'number') return found;
  const result: FuncInfo[] = [];
  let previous = 0;
  for (let i = 0; i < found.count; i++) {
    const insn = found.view.getUint32(i * size, true);
    const typeId = found.view.getUint32(i * size + 4, true);
    if (i === 0 && insn !== 0) {
      return log.fail(-ERRNO.EINVAL, `nonzero insn_off ${insn} for the first func info record`);
    }
    if (i > 0 && insn <= previous) {
      return log.fail(
        -ERRNO.EINVAL,
        `same or smaller insn offset (${insn}) than previous func info record (${previous})`,
      );
    }
    if (typeId === 0 || typeId >= btf.typeCount || btf.kindOf(typeId) !== BTF_KIND.FUNC) {
      return log.fail(-ERRNO.EINVAL, `invalid type id ${typeId} in func info`);
    }
    result.push({ insn, typeId, name: btf.nameOf(typeId) });
    previous = insn;
  }
  return result;
}

/** Func info must have one record a subprogram, at its start. */
export function checkFuncInfo(log: VerifierLog, info: readonly FuncInfo[], subprogs: readonly number[]): number {
  if (info.length === 0) return 0;
  if (info.length !== subprogs.length) {
    return log.fail(-ERRNO.EINVAL, "number of funcs in func_info doesn't match number of subprogs");
  }
  if (info.some((entry, i) => entry.insn !== subprogs[i])) {
    return log.fail(-ERRNO.EINVAL, "func_info BTF section doesn't match subprog layout in BPF program");
  }
  return 0;
}

/** Checked records, packed; see LINE_WORDS. */
export function parseLineInfo(
  log: VerifierLog,
  btf: BtfView,
  attr: Attr,
  insns: Uint8Array,
  subprogs: readonly number[],
): Uint32Array | number {
  const bytes = attr.line_info;
  if (!bytes || bytes.length === 0) return NO_LINES;
  const size = attr.line_info_rec_size ?? LINE_INFO_BYTES;
  const found = records(log, 'line_info', bytes, size, LINE_INFO_BYTES);
  if (typeof found === 'number') return found;
  const { view, count } = found;
  const insnCount = insns.length / 8;
  const words = new Uint32Array(count * LINE_WORDS);
  const { stringsEnd } = btf;
  let previous = 0;
  let subprog = 0;
  for (let i = 0; i < count; i++) {
    const at = i * size;
    const insn = view.getUint32(at, true);
    if ((i > 0 && insn <= previous) || insn >= insnCount) {
      return log.fail(
        -ERRNO.EINVAL,
        `Invalid line_info[${i}].insn_off:${insn} (prev_offset:${previous} prog->len:${insnCount})`,
      );
    }
    if (insns[insn * 8] === 0) return log.fail(-ERRNO.EINVAL, `Invalid insn code at line_info[${i}].insn_off`);
    const fileOffset = view.getUint32(at + 4, true);
    const textOffset = view.getUint32(at + 8, true);
    if (fileOffset >= stringsEnd || textOffset >= stringsEnd) {
      return log.fail(-ERRNO.EINVAL, `Invalid line_info[${i}].line_off or .file_name_off`);
    }
    if (subprog < subprogs.length) {
      if (insn === subprogs[subprog]) subprog++;
      else if (subprogs[subprog]! < insn) {
        return log.fail(-ERRNO.EINVAL, `missing bpf_line_info for func#${subprog}`);
      }
    }
    const to = i * LINE_WORDS;
    words[to] = insn;
    words[to + 1] = fileOffset;
    words[to + 2] = textOffset;
    words[to + 3] = view.getUint32(at + 12, true);
    previous = insn;
  }
  if (subprog !== subprogs.length) {
    const missing = subprogs.length - subprog;
    return log.fail(-ERRNO.EINVAL, `missing bpf_line_info for ${missing} funcs starting from func#${subprog}`);
  }
  return words;
}
