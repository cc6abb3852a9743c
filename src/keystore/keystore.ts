/**
 * Where sign-in sessions rest. Values are secrets; names are not (`session:<broker URL>`).
 * Nothing is ever kept half-written: `set` replaces a value whole or not at all.
 */
export interface Keystore {
  readonly kind: 'keychain' | 'file' | 'memory'
  get(name: string): Promise<string | undefined>
  set(name: string, value: string): Promise<void>
  delete(name: string): Promise<void>
}
