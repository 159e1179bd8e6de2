{{/*
The injected form, for another chart that has this one as a dependency named `edgeprofile`:

  spec:
    initContainers:
      {{- include "edgeprofile.sidecar" .Subcharts.edgeprofile | nindent 6 }}
    containers: […]
    volumes:
      {{- include "edgeprofile.volumes" .Subcharts.edgeprofile | nindent 6 }}

With sidecar.native = false it belongs into `containers` instead: before 1.29 there is no other place.
*/}}
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
