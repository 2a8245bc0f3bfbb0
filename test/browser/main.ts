import { scenario } from './scenario.js';

declare global {
  interface Window {
    vmtableResult?: { ok: string } | { error: string };
  }
}

const fetchSample = async (name: string) => {
  const response = await fetch(`/samples/${name}`);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
};

scenario(fetchSample).then(
  (result) => {
    window.vmtableResult = { ok: JSON.stringify(result) };
  },
  (error: unknown) => {
    window.vmtableResult = { error: error instanceof Error ? `${error.message}\n${error.stack}` : String(error) };
  },
);
