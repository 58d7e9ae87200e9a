import { serviceMonitors } from '../kinds.ts'
import type { KubeObject } from '../runtime/kube-object.ts'
import { child, type Parent, selectorLabels } from './child.ts'

/** What makes a Prometheus of the Prometheus operator scrape the three workloads. */
export function serviceMonitor(parent: Parent): KubeObject {
  const { labels, interval, relabelings, metricRelabelings } = parent.pipeline.spec.monitoring.serviceMonitor
  const spec = {
    selector: { matchLabels: selectorLabels(parent) },
    endpoints: [
      {
        port: 'metrics',
        interval,
        ...(relabelings === undefined ? {} : { relabelings }),
        ...(metricRelabelings === undefined ? {} : { metricRelabelings }),
      },
    ],
  }
  return child(parent, serviceMonitors, '', { spec }, { labels })
}
