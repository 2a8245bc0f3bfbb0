// The struct_ops suite: what goes into the guest, and what its console's text becomes.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Case } from './compile.mjs';
import { OBJECTS } from './objects.mjs';
import { CID, DUMMY, QDISC, SCX, TCP, URING, valueTypeOf } from './steps.mjs';

export { OBJECTS };

const here = fileURLToPath(new URL('.', import.meta.url));
/** Marks the runner's lines among the console's. */
const MARK = '@ ';
const TYPES = [TCP, SCX, CID, QDISC, DUMMY, URING];

/** Every case as written, by topic: the file it stands in. */
export async function topics() {
  const files = readdirSync(join(here, 'cases')).sort();
  const loaded = await Promise.all(files.map((file) => import(`./cases/${file}`)));
  return loaded.map(({ title, cases }, i) => {
    const topic = files[i].replace('.mjs', '');
    return { topic, title, cases: cases.map((one) => new Case({ ...one, id: `${topic}/${one.id}` })) };
  });
}

function unique(list) {
  const ids = list.flatMap(({ cases }) => cases.map(({ id }) => id));
  const twice = ids.find((id, i) => ids.indexOf(id) !== i);
  if (twice !== undefined) throw new Error(`two cases are called ${twice}`);
  return list;
}

/** The runner's lines, cut by case. */
function readConsole(text) {
  const layouts = {};
  const answers = new Map();
  let current;
  let done = false;
  for (const line of text.split('\n')) {
    if (!line.startsWith(MARK)) continue;
    const said = JSON.parse(line.slice(MARK.length));
    if (said.layout !== undefined) layouts[said.layout] = said;
    else if (said.case !== undefined) {
      current = [];
      answers.set(said.case, current);
    } else if (said.left !== undefined) throw new Error(`case ${said.left} left something behind: ${line}`);
    else if (said.died !== undefined) throw new Error(`case ${[...answers.keys()].at(-1)} died of signal ${said.died}`);
    else if (said.malformed !== undefined) throw new Error(`case ${[...answers.keys()].at(-1)}: ${said.malformed}`);
    else if (said.done) done = true;
    else current.push(said);
  }
  if (!done) throw new Error(`the run did not come to its end; the console's last words:\n${text.slice(-2000)}`);
  return { layouts, answers };
}

/** One step a line: recordings are read by people and by diff. */
function format(document) {
  const { objects, cases, ...head } = document;
  const entries = Object.entries(head).map(([key, value]) => ` ${JSON.stringify(key)}: ${JSON.stringify(value)},`);
  const made = Object.entries(objects).map(([name, step]) => `  ${JSON.stringify(name)}: ${JSON.stringify(step)}`);
  const told = cases.map(({ steps, ...rest }) => {
    const lines = steps.map((step) => `   ${JSON.stringify(step)}`);
    return `  ${JSON.stringify(rest).slice(0, -1)},"steps":[\n${lines.join(',\n')}\n  ]}`;
  });
  return `{\n${entries.join('\n')}\n "objects": {\n${made.join(',\n')}\n },\n "cases": [\n${told.join(',\n')}\n ]\n}\n`;
}

export const suite = {
  /** Kernels that answer, by profile name. */
  kernels: ['7.3', '6.18'],
  /** C sources of the guest's /init. */
  sources: ['main.c', 'script.c', 'btf.c', 'log.c'].map((file) => join(here, file)),
  /** Directories that it mounts on. */
  directories: ['proc', 'sys', 'dev', 'bpf'],

  /** Further files of the guest, by path. */
  async files() {
    const lines = (await topics()).flatMap(({ cases }) => cases.flatMap((one) => one.script()));
    const layouts = TYPES.flatMap((type) => [`layout ${type}`, `layout ${valueTypeOf(type)}`]);
    return { script: Buffer.from(`${[...layouts, ...lines].join('\n')}\n`) };
  },

  /** Recording files, by name, from one boot's console. */
  async record(text, { release }) {
    const { layouts, answers } = readConsole(text);
    const files = {};
    for (const { topic, title, cases } of unique(await topics())) {
      const recorded = [];
      const notRecorded = [];
      const objects = new Set();
      for (const one of cases) {
        const { skip, steps } = one.record(answers.get(one.id) ?? [], layouts);
        if (skip !== undefined) notRecorded.push({ id: one.id, why: skip });
        else {
          for (const name of one.given) objects.add(name);
          recorded.push({ id: one.id, what: one.what, given: one.given, steps });
        }
      }
      files[`${topic}.json`] = format({
        kernel: release,
        title,
        notRecorded,
        objects: Object.fromEntries(Object.entries(OBJECTS).filter(([name]) => objects.has(name))),
        cases: recorded,
      });
    }
    return files;
  },

  /** Where recordings of a release lie. */
  recordings: (release) => join(here, 'recordings', release),
};
