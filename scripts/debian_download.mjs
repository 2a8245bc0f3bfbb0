// Packages of Debian's archive, as files: apt on private lists, nothing installed, no root. Needs apt-get and dpkg-deb.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianMirror } from './debian_mirror.mjs';

export const BACKPORTS = 'trixie-backports';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * Downloads packages, `name` or `name=version`, into `dir` and returns the paths of the .deb files, in the order asked for. They come from `suite` of the
 * machine's own mirror, or, without one, from the machine's own apt sources. Lists and cache lie in `dir`: the system's stay as
 * they are.
 */
export function downloadPackages(dir, packages, suite) {
  for (const sub of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(dir, sub), { recursive: true });
  const options = {
    'Dir::State::lists': join(dir, 'lists'),
    'Dir::Cache': join(dir, 'cache'),
    'APT::Sandbox::User': '',
  };
  if (suite) {
    const list = join(dir, 'sources.list');
    writeFileSync(list, `deb [signed-by=${KEYRING}] ${debianMirror()} ${suite} main\n`);
    Object.assign(options, { 'Dir::Etc::sourcelist': list, 'Dir::Etc::sourceparts': '-' });
  }
  const apt = ['-qq', ...Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`])];
  const run = (...args) =>
    execFileSync('apt-get', [...apt, ...args], { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] });
  run('update');
  run('download', ...packages);
  const files = readdirSync(dir);
  return packages.map((wanted) => {
    const [name] = wanted.split('=');
    const file = files.find((candidate) => candidate.startsWith(`${name}_`) && candidate.endsWith('.deb'));
    if (!file) throw new Error(`apt downloaded no ${name}`);
    return join(dir, file);
  });
}

/** Unpacks files or folders of a package, all of it without `members`, under `into`. */
export function unpackPackage(deb, into, members = []) {
  mkdirSync(into, { recursive: true });
  const names = members.map((member) => `./${member}`);
  shell(`dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" ${quoted(names, 3)}`, [deb, into, ...names]);
}

/**
 * Unpacks folders and files of a `linux-source` package under `into`, the version's own folder left out. The .tar.xz inside is
 * never written to disk.
 */
export function unpackSource(deb, into, members) {
  mkdirSync(into, { recursive: true });
  const tarball = run('dpkg-deb', ['-c', deb]).match(/\.\/usr\/src\/(\S+)\.tar\.xz/);
  if (!tarball) throw new Error(`${deb} holds no source`);
  const names = members.map((member) => `${tarball[1]}/${member}`);
  const script = `dpkg-deb --fsys-tarfile "$1" | tar -xO "$2" | xz -dcT0 | tar -x -C "$3" --strip-components=1 ${quoted(names, 4)}`;
  shell(script, [deb, tarball[0], into, ...names]);
}

function quoted(names, from) {
  return names.map((_, i) => `"\${${from + i}}"`).join(' ');
}

function shell(script, args) {
  const { status, error } = spawnSync('bash', ['-c', `set -eo pipefail; ${script}`, 'unpack', ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`unpacking ${args[0]} failed with status ${status}`);
}

function run(command, args) {
  return execFileSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
}
