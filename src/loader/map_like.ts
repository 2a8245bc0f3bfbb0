/** A map of a loaded object, or any fd of a map. */
export type MapLike = number | { readonly fd: number };

export function mapFd(map: MapLike): number {
  return typeof map === 'number' ? map : map.fd;
}
