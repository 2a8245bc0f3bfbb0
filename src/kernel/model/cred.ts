import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { CRED_FIELDS } from './fields.js';
import { Layout } from './layout.js';

const UIDS = ['uid.val', 'suid.val', 'euid.val', 'fsuid.val'] as const;
const GIDS = ['gid.val', 'sgid.val', 'egid.val', 'fsgid.val'] as const;

/** struct cred, one for each pair of user and group; shared by the tasks that have it. */
export class Creds {
  readonly #layout: Layout<keyof typeof CRED_FIELDS>;
  readonly #creds = new Map<string, GuestPtr>();

  constructor(private readonly kernel: Kernel) {
    this.#layout = new Layout(kernel.types, 'cred', CRED_FIELDS);
  }

  /** euid and egid of a struct cred. */
  uid(cred: GuestPtr): number {
    return this.#layout.field('euid.val').get(cred);
  }

  gid(cred: GuestPtr): number {
    return this.#layout.field('egid.val').get(cred);
  }

  of(uid: number, gid: number): GuestPtr {
    const key = `${uid}:${gid}`;
    let ptr = this.#creds.get(key);
    if (ptr === undefined) {
      const name = `cred of uid ${uid}, gid ${gid}`;
      ptr = this.#layout.alloc(name);
      for (const path of UIDS) this.#layout.field(path).set(ptr, uid);
      for (const path of GIDS) this.#layout.field(path).set(ptr, gid);
      this.kernel.objects.add({ ptr, size: this.#layout.struct.size, struct: this.#layout.struct, name });
      this.#creds.set(key, ptr);
    }
    return ptr;
  }
}
