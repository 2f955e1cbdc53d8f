{{/* Name of everything in the release. */}}
{{- define "shop-operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "shop-operator.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "shop-operator.name" .) -}}
{{- end -}}

{{- define "shop-operator.tag" -}}
{{- .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "shop-operator.image" -}}
{{- printf "%s:%s" .Values.image.repository (include "shop-operator.tag" .) -}}
{{- end -}}

{{/* The name is fixed: by it a Shop's network policies know the operator. */}}
{{- define "shop-operator.selector" -}}
app.kubernetes.io/name: shop-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "shop-operator.labels" -}}
{{ include "shop-operator.selector" . }}
app.kubernetes.io/version: {{ regexReplaceAll "[^a-zA-Z0-9._-].*" (include "shop-operator.tag" .) "" | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: shop-operator
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* The operator's rules, as its authors keep and test them: the first document is for Shops, the second for its own namespace, the third for the hook. */}}
{{- define "shop-operator.rules" -}}
{{- $documents := splitList "\n---\n" (.root.Files.Get "files/rbac.yaml") -}}
{{- (index $documents .index | fromYaml).rules | toYaml -}}
{{- end -}}

{{/* The restricted Pod Security standard. */}}
{{- define "shop-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "shop-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Not the operator's name: a Job's pod must not be taken for one of its replicas. */}}
{{- define "shop-operator.crdsLabels" -}}
app.kubernetes.io/name: shop-operator-crds
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: shop-operator
{{- end -}}

{{/* What failed stays, for its log. */}}
{{- define "shop-operator.crdsHook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{- define "shop-operator.crdsPod" -}}
metadata:
  labels:
    {{- include "shop-operator.crdsLabels" . | nindent 4 }}
spec:
  serviceAccountName: {{ include "shop-operator.name" . }}-crds
  restartPolicy: Never
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- include "shop-operator.podSecurity" . | nindent 4 }}
  containers:
    - name: crds
      image: {{ include "shop-operator.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [crds, apply]
      # `kubectl describe` shows why it failed.
      terminationMessagePolicy: FallbackToLogsOnError
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "shop-operator.containerSecurity" . | nindent 8 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* `helm upgrade --reuse-values` has none of the values that are new in this chart. */}}
{{- define "shop-operator.upgradesCrds" -}}
{{- dig "upgrade" true (.Values.crds | default dict) -}}
{{- end -}}
