import { BTF_KIND, type BtfView } from '../../btf/types.js';
import { coReKindName } from '../../btf/core.js';
import { structReader } from '../../btf/reader.js';
import { reachableSubprograms } from '../../object/reach.js';
import { parseObject } from '../../object/parse.js';
import type { ObjectSpec, StructOpsSpec } from '../../object/spec.js';
import { mapTypeName, progTypeName } from '../../uapi_names.js';
import { type AddCommand, inFile, json, objectName } from '../command.js';
import { chooseObject, withObjectOption } from '../object_input.js';
import { plural, table } from '../table.js';

export const addInspect: AddCommand = (program, io) => {
  const command = program
    .command('inspect')
    .description('what is inside an object: programs, maps, struct_ops, externs, relocations')
    .argument('<file>', 'BPF object, or an executable that embeds one')
    .option('--json', 'one JSON document');
  withObjectOption(command).action((file: string, options: { json?: boolean; object?: string }) => {
    const spec = inFile(file, () => parseObject(chooseObject(io, file, options.object), { name: objectName(file) }));
    const summary = inspect(spec);
    io.out(options.json ? json(summary) : formatInspection(summary));
  });
};

export function inspect(spec: ObjectSpec) {
  const coRe = new Map<string, number>();
  for (const code of [...spec.programs, ...spec.subprograms]) {
    for (const relo of code.coRe) {
      const kind = coReKindName(relo.kind);
      coRe.set(kind, (coRe.get(kind) ?? 0) + 1);
    }
  }
  return {
    name: spec.name,
    license: spec.license,
    programs: spec.programs.map((prog) => ({
      name: prog.name,
      section: prog.type,
      type: progTypeName(prog.progType),
      insns: prog.insns.length / 8,
      subprograms: reachableSubprograms(spec, prog).length,
      attach: prog.attachTo,
      sleepable: prog.sleepable,
      autoload: prog.autoload,
    })),
    maps: spec.maps.map((map) => ({
      name: map.name,
      type: mapTypeName(map.type),
      keySize: map.keySize,
      valueSize: map.valueSize,
      maxEntries: map.maxEntries,
      flags: map.flags,
      section: map.section,
      variables: map.data?.variables.map(({ name, offset, size }) => ({ name, offset, size })),
    })),
    structOps: spec.structOps.map((ops) => ({
      name: ops.name,
      type: ops.structName,
      link: ops.link,
      members: structOpsMembers(spec.btf, ops),
    })),
    externs: spec.externs.map(({ name, kind, weak }) => ({ name, kind, weak })),
    relocations: spec.relocationCounts,
    coRe: [...coRe].sort(([a], [b]) => (a < b ? -1 : 1)).map(([kind, count]) => ({ kind, count })),
  };
}

type Inspection = ReturnType<typeof inspect>;
type Member = { name: string; program: string } | { name: string; value: number | bigint | string };

/** The members that the object sets: programs by name, and scalars that are not zero. */
function structOpsMembers(btf: BtfView | undefined, ops: StructOpsSpec): Member[] {
  const type = btf?.type(ops.structType);
  if (!btf || type?.kind !== BTF_KIND.STRUCT) return [];
  const reader = structReader(btf, ops.structType, ops.data);
  const members: Member[] = [];
  for (const [index, member] of type.members.entries()) {
    const program = ops.programs.find((slot) => slot.memberIndex === index);
    if (program) {
      members.push({ name: member.name, program: program.program });
    } else if (btf.kindOf(btf.resolve(member.type)) !== BTF_KIND.PTR) {
      const size = btf.sizeOf(member.type);
      const start = member.bitOffset >> 3;
      if (ops.data.subarray(start, start + size).some((byte) => byte !== 0)) {
        members.push({ name: member.name, value: reader.get(member.name) });
      }
    }
  }
  return members;
}

function formatInspection(of: Inspection): string {
  const parts = [`object ${of.name}  license ${of.license || '(none)'}\n`];
  const section = (title: string, body: string) => parts.push(`\n${title}\n${body}`);
  if (of.programs.length) {
    const rows = of.programs.map((p) => [p.name, p.section, p.type, p.insns, p.subprograms, p.autoload ? '' : 'autoload off']);
    section(`programs (${of.programs.length})`, table(['name', 'section', 'type', 'insns', 'subprograms', ''], rows, '  '));
  }
  if (of.maps.length) {
    const rows = of.maps.map((m) => [m.name, m.type, m.keySize, m.valueSize, m.maxEntries, `0x${m.flags.toString(16)}`]);
    section(`maps (${of.maps.length})`, table(['name', 'type', 'key', 'value', 'max', 'flags'], rows, '  '));
  }
  for (const ops of of.structOps) {
    const rows = ops.members.map((m) => ['program' in m ? `.${m.name}` : `.${m.name}`, 'program' in m ? m.program : String(m.value)]);
    section(`struct_ops ${ops.name}: ${ops.type}${ops.link ? ', attached by link' : ''}`, table(['member', 'program or value'], rows, '  '));
  }
  if (of.externs.length) {
    const rows = of.externs.map((e) => [e.name, e.kind, e.weak ? 'weak' : '']);
    section(`externs (${of.externs.length})`, table(['name', 'kind', ''], rows, '  '));
  }
  const relocs = Object.entries(of.relocations).map(([name, count]) => `${name} ${count}`);
  const coRe = of.coRe.map(({ kind, count }) => `${kind} ${count}`);
  parts.push(`\nrelocations: ${relocs.join(', ') || 'none'}\nCO-RE: ${coRe.join(', ') || 'none'}\n`);
  return parts.join('').replace(/ +$/gm, '');
}
