/** Questions to a person. `flag` is what answers it without a terminal: named in the error. */
export interface Prompt {
  /** @throws JitError `usage` where there is no terminal; `cancelled` on Ctrl-C */
  confirm(question: {
    message: string
    default: boolean
    flag: string
    /** What was typed before the question was there doesn't answer it. */
    afresh?: boolean
    /** Takes the question back: it then fails with `cancelled`. */
    signal?: AbortSignal
  }): Promise<boolean>
  select<T extends string>(question: {
    message: string
    choices: readonly { name: string; value: T }[]
    flag: string
  }): Promise<T>
  /** Any number of them; `checked` are chosen unless one says otherwise. */
  checkbox<T extends string>(question: {
    message: string
    choices: readonly { name: string; value: T; checked: boolean }[]
    flag: string
  }): Promise<T[]>
  /** @param question.default what an empty line stands for */
  input(question: { message: string; flag: string; default?: string }): Promise<string>
}
