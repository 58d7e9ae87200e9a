/** Where the system is tried out: how a cluster is made there, an image loaded and Kafka provided. */
export interface Host {
  /** Makes the cluster unless it is there, with metrics of its pods. */
  start(): Promise<void>
  /** Builds this checkout's image and brings it to the nodes. */
  loadImage(version: string): Promise<void>
  /** Sees to Kafka at kafka.kafka.svc:9092. */
  startKafka(): Promise<void>
  kubectl(args: readonly string[], options?: { readonly input?: string }): Promise<string>
  helm(args: readonly string[]): Promise<unknown>
  /** Values of the chart that differ here. */
  readonly values: readonly string[]
  /** What differs in the pipeline here, as a merge patch. */
  readonly pipeline: object
  /** What a shell needs for kubectl to reach the cluster. */
  readonly shell: string
  /** The command that ends it. */
  readonly end: string
}
