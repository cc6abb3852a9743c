/** The value below which a share of the samples lies (nearest rank); `share` is between 0 and 1. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]
  if (value === undefined) throw new Error('no samples')
  return value
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5)
}
