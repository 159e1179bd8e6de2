{{- define "edgeprofile.name" -}}
{{- default "edgeprofile" .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "edgeprofile.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains (include "edgeprofile.name" .) .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "edgeprofile.name" .) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "edgeprofile.selectorLabels" -}}
app.kubernetes.io/name: {{ include "edgeprofile.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "edgeprofile.labels" -}}
{{ include "edgeprofile.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: sidecar
app.kubernetes.io/part-of: edgeprofile
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "edgeprofile.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "edgeprofile.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "edgeprofile.configMapName" -}}
{{- default (printf "%s-config" (include "edgeprofile.fullname" .)) .Values.existingConfigMap -}}
{{- end -}}

{{- define "edgeprofile.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* What every form of the container has. Directories are mounted, never single files: those are not followed. */}}
{{- define "edgeprofile.container" -}}
image: {{ include "edgeprofile.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: ["sidecar"]
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
resources:
  {{- toYaml .Values.resources | nindent 2 }}
startupProbe:
  httpGet:
    path: /startupz
    port: admin
  {{- toYaml .Values.startupProbe | nindent 2 }}
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  {{- toYaml .Values.livenessProbe | nindent 2 }}
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  {{- toYaml .Values.readinessProbe | nindent 2 }}
volumeMounts:
  - name: edgeprofile-config
    mountPath: /etc/edgeprofile
    readOnly: true
  - name: edgeprofile-tokens
    mountPath: /run/secrets/edgeprofile/tokens
    readOnly: true
  {{- range .Values.secrets }}
  - name: edgeprofile-secret-{{ . }}
    mountPath: /run/secrets/edgeprofile/{{ . }}
    readOnly: true
  {{- end }}
  - name: edgeprofile-state
    mountPath: /var/lib/edgeprofile
  - name: edgeprofile-tmp
    mountPath: /tmp
  {{- with .Values.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "edgeprofile.env" -}}
- name: EDGEPROFILE_CONFIG
  value: /etc/edgeprofile/edgeprofile.toml
- name: EDGEPROFILE_SIDECAR_ADMIN_LISTEN
  value: {{ printf "0.0.0.0:%v" .Values.adminPort | quote }}
- name: EDGEPROFILE_SIDECAR_TOKENS_FILE
  value: /run/secrets/edgeprofile/tokens/tokens.json
- name: EDGEPROFILE_SIDECAR_WARM_FILE
  value: /var/lib/edgeprofile/hot.json
- name: EDGEPROFILE_SIDECAR_READINESS
  value: {{ .Values.readiness | quote }}
- name: EDGEPROFILE_SIDECAR_ACCESS_LOG
  value: {{ .Values.accessLog | quote }}
- name: EDGEPROFILE_SIDECAR_DRAIN_DELAY
  value: {{ .Values.drainDelay | quote }}
- name: EDGEPROFILE_SIDECAR_DRAIN_TIMEOUT
  value: {{ .Values.drainTimeout | quote }}
- name: EDGEPROFILE_CACHE_MAX_BYTES
  value: {{ .Values.cacheMaxBytes | quote }}
{{- if .Values.traces }}
- name: EDGEPROFILE_SIDECAR_TRACES
  value: "true"
{{- range $name, $field := dict "K8S_NAMESPACE_NAME" "metadata.namespace" "K8S_NODE_NAME" "spec.nodeName" "K8S_POD_NAME" "metadata.name" "K8S_POD_UID" "metadata.uid" }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $field }}
{{- end }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: k8s.namespace.name=$(K8S_NAMESPACE_NAME),k8s.node.name=$(K8S_NODE_NAME),k8s.pod.name=$(K8S_POD_NAME),k8s.pod.uid=$(K8S_POD_UID)
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* For the annotations of pods that shall be replaced when the chart's configuration changes. */}}
{{- define "edgeprofile.configChecksum" -}}
checksum/edgeprofile-config: {{ .Values.config | sha256sum }}
{{- end -}}

{{/* Secrets are for root and for the pod's fsGroup: 0444 would let every other container's user read the tokens. */}}
{{- define "edgeprofile.volumes" -}}
- name: edgeprofile-config
  configMap:
    name: {{ include "edgeprofile.configMapName" . }}
- name: edgeprofile-tokens
  secret:
    secretName: {{ required "tokensSecret is needed: a Secret with tokens.json, as `edgeprofile token create` writes it" .Values.tokensSecret }}
    defaultMode: 0440
{{- range .Values.secrets }}
- name: edgeprofile-secret-{{ . }}
  secret:
    secretName: {{ . }}
    defaultMode: 0440
{{- end }}
- name: edgeprofile-state
  emptyDir:
    sizeLimit: 64Mi
- name: edgeprofile-tmp
  emptyDir:
    medium: Memory
    sizeLimit: 16Mi
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
