// `--table`: the kernels' figures with all peers as a Markdown table, ratios only, as it stands in the README.
import { arch, cpus, release } from 'node:os';

const geomean = (values) => Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
const cell = (value) => (value === undefined ? '–' : value.toFixed(value < 10 ? 2 : 1));

/** Lines of the table: `rows` and `peers` as in the report, `nativeNs` by kernel. */
export function peersTable({ rows, setups, peers, kernels, nativeNs }) {
  const columns = [
    ...setups.map(({ engine, checks }) => ({
      name: `${engine === 'jit' ? 'JIT' : 'interpreter'}, ${checks}`,
      of: (kernel) =>
        rows.find((row) => row.name === kernel && row.engine === engine && row.checks === checks)?.slowdown,
    })),
    ...peers
      .filter(({ skip }) => skip === undefined)
      .map(({ name, ns }) => ({
        name,
        of: (kernel) => (kernel in ns ? ns[kernel] / nativeNs.get(kernel) : undefined),
      })),
  ];
  const all = columns.map(({ of }) => kernels.map(of).filter((ratio) => ratio !== undefined));
  const means = all.map((ratios) => {
    if (ratios.length === 0) return '–';
    return ratios.length === kernels.length ? cell(geomean(ratios)) : `${cell(geomean(ratios))} (of ${ratios.length})`;
  });
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const date = new Date().toISOString().slice(0, 10);
  const model =
    cpus()[0]
      ?.model.replaceAll(/\((R|TM)\)|\s+(CPU )?@.*$/g, '')
      .trim() ?? 'unknown processor';
  return [
    `${date}, ${cpus().length} cores of ${model} (${arch()}), Linux ${release()}, Node ${process.versions.node}, \`npm run bench -- --peers --table\`:`,
    '',
    line(['× native', ...columns.map(({ name }) => name)]),
    line(['---', ...columns.map(() => '---:')]),
    ...kernels.map((kernel) => line([kernel, ...columns.map(({ of }) => cell(of(kernel)))])),
    line(['geometric mean', ...means]),
    '',
    ...refusals(peers),
  ];
}

/** Who does not run what, and why. */
function refusals(peers) {
  return peers.flatMap(({ name, skip, refused }) => {
    if (skip !== undefined) return [`- ${name}: left out: ${skip}`];
    const reasons = new Map();
    for (const [kernel, why] of Object.entries(refused)) reasons.set(why, [...(reasons.get(why) ?? []), kernel]);
    return [...reasons].map(([why, kernels]) => `- ${name} refuses ${kernels.join(', ')}: ${why}`);
  });
}
