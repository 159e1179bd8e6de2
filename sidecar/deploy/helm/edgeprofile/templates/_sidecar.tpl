{{/*
The injected form, for another chart that has this one as a dependency named `edgeprofile` (../../example is such a chart):

  metadata:
    labels:
      {{- include "edgeprofile.sidecarLabels" .Subcharts.edgeprofile | nindent 6 }}
  spec:
    securityContext:
      fsGroup: 65532
    initContainers:
      {{- include "edgeprofile.sidecar" .Subcharts.edgeprofile | nindent 6 }}
    containers: […]
    volumes:
      {{- include "edgeprofile.volumes" .Subcharts.edgeprofile | nindent 6 }}

The fsGroup is needed: Secrets are mounted for their group alone (0440), and the container does not run as root. Any number
will do, since every container of the pod gets the group: keep the one that your pod has. The label is what the PodMonitor
selects.

With sidecar.native = false it belongs into `containers` instead: before 1.29 there is no other place.
*/}}
{{- define "edgeprofile.sidecarLabels" -}}
edgeprofile.io/sidecar: "true"
{{- end -}}

{{- define "edgeprofile.sidecar" -}}
- name: edgeprofile
  {{- if .Values.sidecar.native }}
  restartPolicy: Always
  {{- else }}
  lifecycle:
    preStop:
      exec:
        command: ["python", "-c", "import time; time.sleep({{ .Values.sidecar.preStopSeconds }})"]
  {{- end }}
  {{- include "edgeprofile.container" . | nindent 2 }}
  ports:
    - name: admin
      containerPort: {{ .Values.adminPort }}
  env:
    {{- include "edgeprofile.env" . | nindent 4 }}
    - name: EDGEPROFILE_SIDECAR_LISTEN
      value: {{ .Values.sidecar.listen | quote }}
{{- end -}}
