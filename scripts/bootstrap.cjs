// Brings a fresh clone to a state in which it runs: checks Node, installs what package-lock.json names, builds what is
// older than its sources. Plain ES5 so that a Node that is too old gets as far as the message.
'use strict';

var fs = require('fs');
var path = require('path');
var child = require('child_process');

var root = path.join(__dirname, '..');
var wanted = [20, 19];
var have = process.versions.node.split('.').map(Number);
if (have[0] < wanted[0] || (have[0] === wanted[0] && have[1] < wanted[1])) {
  console.error('vmtable needs Node ' + wanted.join('.') + ' or newer; this is Node ' + process.versions.node + '.');
  process.exit(1);
}

function newest(entry, ignore) {
  var stat = fs.statSync(entry, { throwIfNoEntry: false });
  if (!stat) return 0;
  if (!stat.isDirectory()) return stat.mtimeMs;
  return fs.readdirSync(entry).reduce(function (latest, name) {
    return name === ignore ? latest : Math.max(latest, newest(path.join(entry, name), ignore));
  }, 0);
}

function mtime(file) {
  return newest(path.join(root, file));
}

function run(what, args) {
  var npm = process.env.npm_execpath;
  var command = npm ? process.execPath : 'npm';
  var result = child.spawnSync(command, (npm ? [npm] : []).concat(args), { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) {
    console.error('vmtable: ' + what + ' failed (npm ' + args.join(' ') + ').');
    process.exit(1);
  }
}

if (mtime('node_modules/.package-lock.json') < mtime('package-lock.json')) {
  run('installing the dependencies', ['ci', '--no-audit', '--no-fund']);
}

var core = path.join(root, 'src/vm/core-wasm.ts');
if (newest(core) < Math.max(newest(path.join(root, 'assembly')), mtime('asconfig.json'), mtime('scripts/build-core.mjs'))) {
  run('building the VM core', ['run', '--silent', 'build:core']);
}
var sources = Math.max(newest(path.join(root, 'src')), mtime('assembly/isa.ts'), mtime('assembly/abi.ts'), mtime('tsconfig.json'), mtime('scripts/build-elfy.mjs'), mtime('scripts/build-lib.mjs'));
if (mtime('build/host.stamp') < sources) {
  run('building', ['run', '--silent', 'build:host']);
  fs.mkdirSync(path.join(root, 'build'), { recursive: true });
  fs.writeFileSync(path.join(root, 'build/host.stamp'), '');
}
