import { serviceMonitors } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, type Parent, selectorLabels } from './child.ts'

/** Alerts and dashboards tell pipelines and their parts by these labels. */
const ownRelabelings = Object.entries({ pipeline: 'instance', component: 'component' }).map(([targetLabel, label]) => ({
  sourceLabels: [`__meta_kubernetes_service_label_app_kubernetes_io_${label}`],
  targetLabel,
}))

/** What makes a Prometheus of the Prometheus operator scrape the three workloads. */
export function serviceMonitor(parent: Parent): KubeObject {
  const { labels, interval, relabelings, metricRelabelings } = parent.pipeline.spec.monitoring.serviceMonitor
  const spec = {
    selector: { matchLabels: selectorLabels(parent) },
    endpoints: [
      {
        port: 'metrics',
        interval,
        relabelings: [...ownRelabelings, ...(relabelings ?? [])],
        ...(metricRelabelings === undefined ? {} : { metricRelabelings }),
      },
    ],
  }
  return child(parent, serviceMonitors, '', { spec }, { labels })
}
