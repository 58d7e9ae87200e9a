import { AppError } from '../../lib/errors.ts'
import type { ModelRecord } from '../detection/model-record.ts'
import type { Partials, SavedPartial } from '../detection/secondary-risks.ts'
import type { SaidStore } from './said.ts'

/**
 * What outlives a process: the profiles and calibration of partitions, the names and last values of features, the
 * verdicts of events by id, what people said of them, and the models.
 *
 * Every method may throw AppError `Unavailable` or `DeadlineExceeded`, at once or within its deadline; nothing waits for
 * the store to come back.
 */
export interface StateStore {
  readonly partitions: PartitionStore
  readonly features: FeatureStore
  readonly results: ResultStore
  readonly models: ModelStore
  readonly said: SaidStore
  /** What is wrong with the store, in a few words, or undefined; known already, never asked for. */
  problem(): string | undefined
}

/** What a flush came to. */
export const flushOutcomes = ['Written', 'Refill', 'Fenced'] as const
/**
 * Written: the store holds it. Refill: so it does, but it has nothing of this partition from before or has lost some of
 * it, so everything in memory must be written again. Fenced: nothing was written, a newer owner holds the partition.
 */
export type FlushOutcome = (typeof flushOutcomes)[number]

/** What a new owner finds. */
export interface TakenPartition {
  /** Orders the owners of a partition: greater than every epoch that was flushed so far. */
  readonly epoch: number
  /** The epoch of the owner that flushed last; undefined where none did. */
  readonly formerEpoch: number | undefined
  readonly state: Uint8Array | undefined
}

export interface PartitionChanges {
  /** Payload by event key. */
  readonly keys: ReadonlyMap<string, Uint8Array>
  /** The state that the partition's keys share; absent: unchanged. */
  readonly partition?: Uint8Array | undefined
  /** JSON of the last features by event key. */
  readonly features?: ReadonlyMap<string, string> | undefined
  /** What the partition has counted of a value that many partitions have parts of, by the value's name. */
  readonly partials?: ReadonlyMap<string, SavedPartial> | undefined
}

/** Names of values, and the store's time of the reading, in ms. */
export interface RiskyValues {
  readonly at: number
  readonly names: readonly string[]
}

/** State that only the owner of a partition writes. */
export interface PartitionStore {
  /**
   * To be called by every new owner, before it reads anything else. Epoch = max(stored + 1, the store's time in ms): a
   * reading, which fences nobody until the first flush under it.
   */
  take(partition: number): Promise<TakenPartition>
  loadPartition(partition: number): Promise<Uint8Array | undefined>
  /** The payloads of the keys, in order, in one read; undefined where there is none that this program can read. */
  loadKeys(partition: number, keys: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>
  /** As `loadKeys`, of the keys of many partitions in one read: one list a partition, in order. */
  loadKeysOf(
    wanted: readonly (readonly [partition: number, keys: readonly string[]])[],
  ): Promise<readonly (readonly (Uint8Array | undefined)[])[]>
  /** Of each value, in order, the partials of all partitions, in one read. */
  loadPartials(names: readonly string[]): Promise<readonly Partials[]>
  /** Names of values whose risky partials were flushed at or after that time of the store's, of many the latest. */
  riskySince(time: number): Promise<RiskyValues>
  /**
   * Writes the changes under the owner's epoch, in steps that each take effect as a whole. One flush of a partition at
   * a time. After an error any part may have been written; the same changes, or newer ones, can be flushed again.
   */
  flush(partition: number, epoch: number, changes: PartitionChanges): Promise<FlushOutcome>
}

/** A pipeline's feature names and each key's last features. */
export interface FeatureStore {
  /** All names, in the order in which they became known. */
  names(): Promise<readonly string[]>
  /**
   * Appends the names that are new, in order, as long as there is room and as many as may become known in an hour, and
   * answers with all names. To be called with all names that the caller knows, so that a store that lost its list gets it
   * back in the same order; where the answer does not begin with them, another list has taken its place and rows made so
   * far mean nothing to others. In the place of a name that was forgotten there is an empty one.
   */
  extend(names: readonly string[]): Promise<readonly string[]>
  /** Makes room: the names become unknown, to come back where they are still sent. Answers with those that were known. */
  forget(names: readonly string[]): Promise<readonly string[]>
  /**
   * Says that events carried these names since the last call, and makes the pipeline forget those that none carried for
   * `ttlMs`. Answers with all names. Time in which nobody says so does not count: of a pause, `usedAtMostMs` do.
   */
  use(names: readonly string[], ttlMs: number): Promise<readonly string[]>
  /** The JSON that was last flushed for each key and has not expired, in order. */
  last(keys: readonly string[]): Promise<readonly (string | undefined)[]>
}

/** Where an event is, if its claimant sent it: at this offset of its partition or behind it. */
export interface EventPlace {
  readonly partition: number
  readonly offset: number
  /** Of another topic of that name the offset says nothing; undefined where the broker knows no ids. */
  readonly topicId?: string | undefined
}

/** What is said of an event with its claim. */
export interface ClaimedEvent {
  readonly eventId: string
  /** Of its body: another body under the same id is another event. */
  readonly fingerprint: string
  readonly place: EventPlace
}

/**
 * Claimed: it is the caller's to judge. Abandoned: so it is, but a claimant who is gone may have sent it from `place` on.
 * Pending: somebody else's, who has not finished. Verdict: it has been judged. An earlier release stored no fingerprints.
 */
export type Claim =
  | { readonly type: 'Claimed' }
  | { readonly type: 'Abandoned'; readonly place: EventPlace }
  | { readonly type: 'Pending'; readonly fingerprint: string | undefined }
  | { readonly type: 'Verdict'; readonly json: string; readonly fingerprint: string | undefined }

/** The verdict of an event, JSON, with the fingerprint of its body. */
export interface EventResult {
  readonly eventId: string
  readonly json: string
  readonly fingerprint?: string | undefined
}

/** The first verdict of each event id. */
export interface ResultStore {
  /**
   * Claims events, each for itself and in order, before they are judged. Claims last for `ttlSeconds`, or until their
   * claimant, which is this store, has said nothing for `claimantSeconds`: then they are given to who asks next, if with
   * the same fingerprint.
   */
  claim(events: readonly ClaimedEvent[], ttlSeconds: number): Promise<readonly Claim[]>
  /** Says that the claimant lives, as every `claim` does. */
  live(): Promise<void>
  /** Gives up this store's own claims that came to nothing; other ids are left as they are. */
  release(eventIds: readonly string[]): Promise<void>
  /** Keeps verdicts for `ttlSeconds`; an id that has one keeps its first. */
  put(results: readonly EventResult[], ttlSeconds: number): Promise<void>
  get(eventId: string): Promise<string | undefined>
}

export interface ModelPointer {
  readonly version: string
  /** Rows that the model was fitted on or sampled from; a successor has at least as many. */
  readonly rowsSeen: number
  /** Milliseconds since 1970; absent where an earlier release fitted it. */
  readonly fittedAt?: number | undefined
}

/** Missing: no such model is stored. Conflict: the pointer is not what was expected. */
export const swapOutcomes = ['Swapped', 'Conflict', 'FewerRows', 'Missing'] as const
export type SwapOutcome = (typeof swapOutcomes)[number]

/** Fitted models, the pointer to the current one, and the replicas' reservoirs. */
export interface ModelStore {
  current(): Promise<ModelPointer | undefined>
  get(version: string): Promise<Uint8Array | undefined>
  /** A model that neither becomes current nor is kept is forgotten after an hour. */
  put(version: string, model: Uint8Array): Promise<void>
  /** The model is not forgotten before its record is. */
  keep(version: string): Promise<void>
  /** What is known of the models that are stored, newest first. */
  records(): Promise<readonly ModelRecord[]>
  /**
   * Adds a record as the newest. Models whose records are too many or too large go with them, but for those in use. For
   * the holder of the lock.
   */
  putRecord(record: ModelRecord, inUse: ReadonlySet<string>): Promise<void>
  /**
   * Makes a stored model the current one if `expected` is (undefined: if there is none). The former stays for 30 days,
   * for those who are loading it, or go back to it.
   */
  swap(expected: string | undefined, next: ModelPointer): Promise<SwapOutcome>
  putReservoir(replica: string, reservoir: Uint8Array): Promise<void>
  /** The last reservoir of each replica that stored one within 30 days. */
  reservoirs(): Promise<ReadonlyMap<string, Uint8Array>>
  /** The right to fit, for at most `ttlSeconds`; undefined where another holds it. */
  lock(ttlSeconds: number): Promise<FitLock | undefined>
}

export interface FitLock {
  /** Lets others fit. Where the lock has lapsed and another holds it, that is left as it is. */
  release(): Promise<void>
}

/** Names that may become known in an hour, but for a list that is empty. */
export const newNamesAnHour = 500
/** Processes say at least so often which names they use, while they use any. */
export const usedAtMostMs = 600_000
/** How long a claimant's claims outlive its last word. */
export const claimantSeconds = 15
/** Names of risky values that the store keeps: the newest. */
export const mostRiskyValues = 100_000
/** How long models are kept that nobody has made current yet, and that were current. */
export const candidateSeconds = 3600
export const formerModelSeconds = 30 * 24 * 3600
export const reservoirSeconds = 30 * 24 * 3600

/** For `catch`: undefined where the store does not answer now; other errors go on. */
export function degradeWithoutStore(error: unknown): undefined {
  if (!(error instanceof AppError && error.retriable)) throw error
}
