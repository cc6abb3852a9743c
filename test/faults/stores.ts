/** Where a broker's ledger may lie: each case is tried on each. */
export type StoreKind = 'sqlite' | 'postgres'

export const STORES: readonly StoreKind[] = ['sqlite', 'postgres']
