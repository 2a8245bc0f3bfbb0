// npm run test:browser: builds a page that imports the package with Vite, opens it in Chromium under a policy that forbids eval
// and inline code, and compares what it computes with what Node computes. Needs a Chromium: `apt-get install chromium`, or
// CHROMIUM=/path/to/chromium.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const executable = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => path && existsSync(path));
if (!executable) {
  console.error('test:browser needs Chromium: apt-get install chromium, or set CHROMIUM to its path.');
  process.exit(1);
}

const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.gz': 'application/octet-stream' };

const out = mkdtempSync(join(tmpdir(), 'vmtable-browser-'));
let browser;
let server;
try {
  await build({
    root: join(root, 'test/browser'),
    logLevel: 'warn',
    configFile: false,
    build: { outDir: out, emptyOutDir: true, target: 'es2022' },
    resolve: { alias: { vmtable: join(root, 'dist/lib/index.js') } },
  });

  const folders = { samples: join(root, 'samples'), profiles: join(root, 'profiles') };
  server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://localhost').pathname).slice(1) || 'index.html';
    const [first, ...rest] = path.split('/');
    const file = folders[first] ? join(folders[first], rest.join('/')) : join(out, path);
    if (!existsSync(file)) return response.writeHead(404).end();
    const type = TYPES[extname(file)] ?? 'application/octet-stream';
    response.writeHead(200, { 'content-type': type, 'content-security-policy': POLICY }).end(readFileSync(file));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  browser = await chromium.launch({
    executablePath: executable,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  const page = await browser.newPage();
  const complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.vmtableResult !== undefined, undefined, { timeout: 60_000 });
  const result = await page.evaluate(() => window.vmtableResult);
  if (result.error) throw new Error(`in the page: ${result.error}`);

  const { scenario } = await loadScenario();
  const expected = JSON.stringify(
    await scenario(async (name) => new Uint8Array(readFileSync(join(root, 'samples', name)))),
  );
  if (result.ok !== expected) throw new Error(`browser and Node differ:\n${result.ok}\n${expected}`);
  const unexpected = complaints.filter((text) => !text.includes('favicon'));
  if (unexpected.length > 0) throw new Error(`the page complained: ${unexpected.join('; ')}`);
  const parts = Object.keys(JSON.parse(expected));
  console.log(
    `test:browser passed in ${browser.version()}: ${parts.length} results equal to Node's (${parts.join(', ')})`,
  );
} finally {
  await browser?.close();
  server?.close();
  rmSync(out, { recursive: true, force: true });
}

/** The same scenario for Node. Built inside the package, where `vmtable` is the package's own entry. */
async function loadScenario() {
  const outDir = join(root, 'build/test-browser');
  await build({
    root,
    logLevel: 'warn',
    configFile: false,
    build: { outDir, emptyOutDir: true, ssr: join(root, 'test/browser/scenario.ts'), target: 'node20' },
    ssr: { external: ['vmtable'] },
  });
  return import(join(outDir, 'scenario.js'));
}
