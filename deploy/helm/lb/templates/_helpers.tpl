{{/* Names of all objects: the release's, and the chart's unless the release is called so. */}}
{{- define "lb.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "lb.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "lb.name" .) }}
{{- end -}}

{{/* What a selector asks for; it can never change. */}}
{{- define "lb.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The same of the pods that answer load balancers. */}}
{{- define "lb.healthSelector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-health
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/ */}}
{{- define "lb.labels" -}}
{{ include "lb.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: service-proxy
app.kubernetes.io/part-of: {{ .Chart.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* What every pod has: where it may run, and as what. */}}
{{- define "lb.pod" -}}
priorityClassName: {{ .Values.priorityClassName }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  seccompProfile:
    type: RuntimeDefault
  {{- with .Values.seLinuxOptions }}
  seLinuxOptions:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "lb.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end -}}

{{/* Where a kubelet asks what listens at an address with a port: itself, if that is every address. */}}
{{- define "lb.asked" -}}
{{- $addr := regexReplaceAll ":[0-9]+$" . "" | trimPrefix "[" | trimSuffix "]" -}}
host: {{ get (dict "0.0.0.0" "127.0.0.1" "::" "::1") $addr | default $addr | quote }}
port: {{ regexFind "[0-9]+$" . }}
{{- end -}}

{{/* Something, if one of some addresses with ports has a port that not everybody may listen at. */}}
{{- define "lb.privilegedPort" -}}
{{- range . }}
{{- if lt (regexFind "[0-9]+$" . | int) 1024 }}true{{ end }}
{{- end }}
{{- end -}}
