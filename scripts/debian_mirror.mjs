import { execFileSync } from 'node:child_process';

/** The mirror that this machine's own apt sources name for Debian's main archive. */
export function debianMirror() {
  const lines = execFileSync('apt-get', ['indextargets', '--format', '$(SITE) $(COMPONENT)'], { encoding: 'utf8' });
  const site = lines
    .split('\n')
    .filter((line) => line.endsWith(' main'))
    .map((line) => line.split(' ')[0])
    .find((url) => !url.includes('security'));
  if (!site) throw new Error("apt's sources name no Debian mirror");
  return site;
}
