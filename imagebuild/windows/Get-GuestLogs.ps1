# The ends of the logs that tell why a build failed in this Windows: setup, sysprep, updates, drivers, cloudbase-init, our last jobs, the last
# error events. Administrator (session); changes nothing. Parameters: lines (200), most_bytes (24576), both of each log. Returns: logs [{name,
# path, bytes (the whole log's, null for events), lines}], only those that are there; unreadable [{name, path, words}].
param([string]$ParametersFile)
$here = Split-Path -Parent $MyInvocation.MyCommand.Path
. (Join-Path $here 'prelude.ps1')
. (Join-Path $here 'jobs.ps1')

function Get-LogPlaces {
    $cloudbase = "$env:SystemDrive\Program Files\Cloudbase Solutions\Cloudbase-Init\log"
    @{ name = 'setup-errors'; path = "$env:windir\Panther\setuperr.log" }
    @{ name = 'sysprep-errors'; path = "$env:windir\System32\Sysprep\Panther\setuperr.log" }
    @{ name = 'sysprep'; path = "$env:windir\System32\Sysprep\Panther\setupact.log" }
    @{ name = 'windows-update'; path = "$env:windir\WindowsUpdate.log" }
    @{ name = 'update-events'; path = "$env:windir\SoftwareDistribution\ReportingEvents.log" }
    @{ name = 'servicing'; path = "$env:windir\Logs\CBS\CBS.log" }
    @{ name = 'drivers'; path = "$env:windir\inf\setupapi.dev.log" }
    @{ name = 'cloudbase-init'; path = "$cloudbase\cloudbase-init.log" }
    @{ name = 'cloudbase-init-unattend'; path = "$cloudbase\cloudbase-init-unattend.log" }
    $runs = @(Get-ChildItem -LiteralPath "$(Get-WorkplacePath)\runs" -Force -ErrorAction SilentlyContinue | Where-Object { $_.PSIsContainer })
    foreach ($run in @($runs | Sort-Object -Property LastWriteTime | Select-Object -Last 3)) {
        if ($null -ne $run) { @{ name = "job-$($run.Name)"; path = "$($run.FullName)\output.txt" } }
    }
}

function Read-LogEnd([string]$Path, [int]$Lines, [int]$Most) {
    # Shared: whoever writes a log holds it open. ReportingEvents.log is UTF-16, which only its first two bytes tell.
    $shared = [IO.FileShare]'ReadWrite, Delete'
    $stream = New-Object -TypeName IO.FileStream -ArgumentList @((Resolve-FilePath $Path), [IO.FileMode]::Open, [IO.FileAccess]::Read, $shared)
    try {
        $reader = New-Object -TypeName IO.BinaryReader -ArgumentList $stream
        $mark = $reader.ReadBytes(2)
        $size = $stream.Length
        $from = [Math]::Max([int64]0, $size - $Most)
        $from -= $from % 2                                # a UTF-16 character is not cut in two
        $stream.Seek($from, [IO.SeekOrigin]::Begin) | Out-Null
        $bytes = $reader.ReadBytes($Most + 1)
    } finally { $stream.Close() }
    $encoding = [Text.Encoding]::UTF8
    if ($mark.Length -eq 2 -and $mark[0] -eq 255 -and $mark[1] -eq 254) { $encoding = [Text.Encoding]::Unicode }
    $found = @($encoding.GetString($bytes).TrimStart([char]0xFEFF).TrimEnd() -split "`r?`n")
    if ($from -gt 0) { $found = @($found | Select-Object -Skip 1) }        # begins somewhere in a line
    @{ bytes = $size; lines = @($found | Select-Object -Last $Lines) }
}

function Get-ErrorEvents([string]$Log) {
    # None is an exception. The words are in Windows' language: for a person.
    try { $entries = @(Get-EventLog -LogName $Log -EntryType Error -Newest 20) } catch { return }
    foreach ($entry in @($entries | Sort-Object -Property Index)) {
        $time = $entry.TimeGenerated.ToUniversalTime().ToString('yyyy-MM-ddTHH:mm:ssZ', [Globalization.CultureInfo]::InvariantCulture)
        '{0} {1} {2}: {3}' -f $time, $entry.Source, $entry.EventID, ($entry.Message -replace '\s+', ' ')
    }
}

Invoke-GuestScript $ParametersFile {
    param($parameters)
    $most_lines = [int](Get-Parameter $parameters 'lines' 200)
    $most_bytes = [int](Get-Parameter $parameters 'most_bytes' 24576)
    $result = @{ logs = @(); unreadable = @() }
    foreach ($place in @(Get-LogPlaces)) {
        if (-not (Test-Path -LiteralPath $place.path)) { continue }
        try {
            $end = Read-LogEnd $place.path $most_lines $most_bytes
            $result.logs += @{ name = $place.name; path = $place.path; bytes = $end.bytes; lines = $end.lines }
        } catch { $result.unreadable += @{ name = $place.name; path = $place.path; words = [string]$_.Exception.Message } }
    }
    foreach ($log in 'System', 'Application') {
        $lines = @(Get-ErrorEvents $log)
        if ($lines.Count -gt 0) { $result.logs += @{ name = "events-$($log.ToLower())"; path = $log; bytes = $null; lines = $lines } }
    }
    $result
}
