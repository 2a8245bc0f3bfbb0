import { type Diagnosis, diagnose, type Finding } from '../../loader/index.js';
import { table } from '../../table.js';
import { type AddCommand, EXIT_UNSUPPORTED, inFile, json } from '../command.js';
import { createKernel, type LoadOptions, openInput, userSpace, withLoadOptions } from '../kernel_input.js';
import { addSubsystems } from '../subsystems.js';

interface DoctorOptions extends LoadOptions {
  json?: boolean;
}

export const addDoctor: AddCommand = (program, io, exit) => {
  const command = program
    .command('doctor')
    .description('can this object run here: everything that is missing, in one answer')
    .argument('<file>', 'BPF object')
    .option('--json', 'one JSON document');
  withLoadOptions(command).action(async (file: string, options: DoctorOptions) => {
    const object = openInput(io, file, options);
    const kernel = await createKernel(io, options);
    try {
      addSubsystems(kernel);
      await (await userSpace(io, file, options)).beforeLoad(object, kernel);
      const diagnosis = inFile(file, () => diagnose(object, kernel));
      io.out(options.json ? json(diagnosis) : format(diagnosis));
      if (!diagnosis.ok) exit(EXIT_UNSUPPORTED);
    } finally {
      object.close();
      kernel.dispose();
    }
  });
};

function format(diagnosis: Diagnosis): string {
  const { ok, kernel, programs, missing, unsupported, counts, loadError, moreLoadErrors = [] } = diagnosis;
  const asked = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
  const out = [
    `${ok ? 'runs' : 'does not run as it is'} on ${kernel}\n`,
    `${programs.length} programs; asks for ${asked.join(', ') || 'nothing'}\n`,
  ];
  const show = (title: string, findings: readonly Finding[]) => {
    if (findings.length === 0) return;
    const rows = findings.map(({ kind, name, detail, usedBy }) => [kind, name, detail ?? '', some(usedBy)]);
    out.push(`\n${title}\n${table(['kind', 'name', 'why', 'used by'], rows, '  ')}`);
  };
  const needed = ({ weak }: Finding) => !weak;
  show('this kernel does not have', missing.filter(needed));
  show('not modelled here', unsupported.filter(needed));
  show(
    'missing too, and the object copes',
    [...missing, ...unsupported].filter(({ weak }) => weak),
  );
  if (loadError !== undefined) out.push('\n', ...[loadError, ...moreLoadErrors].map((error) => `load: ${error}\n`));
  return out.join('');
}

function some(names: readonly string[]): string {
  return names.length > 3 ? `${names.slice(0, 3).join(' ')} and ${names.length - 3} more` : names.join(' ');
}
