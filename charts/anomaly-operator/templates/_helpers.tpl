{{/* What finds the pods. A Deployment can never change it. */}}
{{- define "anomaly-operator.selectorLabels" -}}
app.kubernetes.io/name: anomaly-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "anomaly-operator.labels" -}}
{{ include "anomaly-operator.selectorLabels" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: anomaly
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "anomaly-operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/*
Name of something that belongs to no namespace. Operators of some namespaces stand beside each other; one of the whole cluster
stands alone, and Helm refuses a second.
*/}}
{{- define "anomaly-operator.clusterName" -}}
anomaly-operator-{{ .what }}{{ with .context }}{{ if .Values.namespaces }}-{{ .Release.Namespace }}{{ end }}{{ end }}
{{- end }}

{{/* Refuses a value that asks for a kind of the Prometheus operator where the cluster has none. */}}
{{- define "anomaly-operator.needsPrometheusOperator" -}}
{{- if not (.context.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") }}
{{- fail (printf "%s: the cluster has no %s; install the Prometheus operator first. To `helm template` say that it has them: --api-versions monitoring.coreos.com/v1" .value .kind) }}
{{- end }}
{{- end }}

{{/* A role with the rules of files/rules/<what>.yaml, bound to the operator: in one namespace, or in the whole cluster. */}}
{{- define "anomaly-operator.boundRole" -}}
{{- $prefix := ternary "" "Cluster" (hasKey . "namespace") }}
{{- $name := hasKey . "namespace" | ternary (printf "anomaly-operator-%s" .what) (include "anomaly-operator.clusterName" .) }}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}Role
metadata:
  name: {{ $name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "anomaly-operator.labels" .context | nindent 4 }}
rules:
{{ .context.Files.Get (printf "files/rules/%s.yaml" .what) | trim }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $prefix }}RoleBinding
metadata:
  name: {{ $name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "anomaly-operator.labels" .context | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $prefix }}Role
  name: {{ $name }}
subjects:
  - kind: ServiceAccount
    name: anomaly-operator
    namespace: {{ .context.Release.Namespace }}
{{- end }}

{{/* What the restricted Pod Security Standard asks of a pod and of its container. The user is `node` of the image. */}}
{{- define "anomaly-operator.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "anomaly-operator.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
