/** What became of events that were sent. */
export interface Answers {
  readonly alerts: number
  /** The reason of each event that was refused. */
  readonly refused: readonly string[]
}

export const noAnswers: Answers = { alerts: 0, refused: [] }

export interface Destination {
  /** Sends events; answers with how many alerted, and why others were refused. */
  send(events: readonly string[], signal: AbortSignal): Promise<Answers>
  /** Waits for what is still to come of them, and says what came. */
  finish?(signal: AbortSignal): Promise<string>
  close(): Promise<void> | void
}
