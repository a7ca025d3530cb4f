# imagebuild script: Receive-Files
# Takes files over standard input: line 1 is base64 of UTF-8 JSON {"files":[{"path","size","sha256"}]}, each further line base64 of the next
# piece of ONE gzip stream, the files one after another in that order; ends with the input. Answers like the other scripts with one result
# line. Sent before anything else is there (-EncodedCommand), therefore alone and short. PowerShell 2.0; ASCII only.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
Set-StrictMode -Version 2.0

# --- edges ---
function Read-Line { [Console]::In.ReadLine() }
function Write-Line([string]$Text) { [Console]::Out.WriteLine($Text) }

function ConvertTo-JsonString($Text) {
    if ($null -eq $Text) { return 'null' }
    '"' + [regex]::Replace([string]$Text, '[^ !#-\[\]-~]', { '\u{0:x4}' -f [int][char]$args[0].Value }) + '"'
}

function Write-Result([string]$Json) {
    Write-Line ('@@RESULT ' + [Convert]::ToBase64String([Text.Encoding]::ASCII.GetBytes($Json)) + ' @@')
}

function Invoke-Icacls([string[]]$Arguments) {
    $ErrorActionPreference = 'Continue'
    & icacls.exe @Arguments 2>&1 | Out-Null
    if ($LASTEXITCODE -ne 0) { throw "icacls.exe $Arguments ended with code $LASTEXITCODE. Is this an administrator, and is the drive NTFS?" }
}

function Assert-Workplace([string]$Root) {
    # Only Administrators and SYSTEM may open it. A new folder below C:\ is open to all users, so it is closed while it is empty.
    $private = '^O:(BA|SY)G:.*D:P[A-Z]*\(A;OICI;FA;;;(BA|SY)\)\(A;OICI;FA;;;(BA|SY)\)$'
    $made = -not (Test-Path -LiteralPath $Root)
    if ($made) { New-Item -Path $Root -ItemType Directory | Out-Null }
    if ((Get-Acl -Path $Root).Sddl -notmatch $private) {
        Invoke-Icacls @($Root, '/setowner', '*S-1-5-32-544', '/T', '/C', '/Q')
        Invoke-Icacls @($Root, '/reset', '/T', '/C', '/Q')
        Invoke-Icacls @($Root, '/inheritance:r', '/grant:r', '*S-1-5-32-544:(OI)(CI)F', '*S-1-5-18:(OI)(CI)F', '/Q')
    }
    if ((Get-Acl -Path $Root).Sddl -notmatch $private) { throw "$Root is still open to others after icacls.exe. Remove the folder and try again." }
    if ($made -and @(Get-ChildItem -LiteralPath $Root -Force).Count -gt 0) { throw "somebody put files into $Root while it was made. Remove the folder and try again." }
}

function Read-FileList {
    Add-Type -AssemblyName System.Web.Extensions
    $reader = New-Object System.Web.Script.Serialization.JavaScriptSerializer
    $list = $reader.DeserializeObject([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String((Read-Line))))
    foreach ($file in @($list['files'])) {
        if ($file['path'] -cnotmatch '^[A-Za-z]:\\[^<>:"/|?*\x00-\x1F]+\z' -or $file['path'] -match '\\(\.*|[^\\]*[. ])(\\|$)') { throw "path '$($file['path'])' is refused: a full Windows path without '.' parts is wanted" }
        $file
    }
}

function Save-Stream([string]$Path) {
    # To disk first: the shell's memory is limited (150 MB on Windows 7), the disk is not.
    $stream = [IO.File]::Create($Path)
    try {
        while ($null -ne ($line = Read-Line)) {
            $bytes = [Convert]::FromBase64String($line)
            $stream.Write($bytes, 0, $bytes.Length)
        }
    } finally { $stream.Close() }
}

function Save-File($Source, [string]$Path, [int64]$Size, [string]$Sha256) {
    $folder = Split-Path -Parent $Path
    if (-not (Test-Path -LiteralPath $folder)) { New-Item -Path $folder -ItemType Directory -Force | Out-Null }
    $part = "$Path.part"
    $buffer = New-Object byte[] 65536
    $left = $Size
    $target = [IO.File]::Create($part)
    try {
        while ($left -gt 0) {
            $count = $Source.Read($buffer, 0, [int][Math]::Min([int64]$buffer.Length, $left))
            if ($count -le 0) { throw "the stream ends $left bytes before the end of $Path. Send it again." }
            $target.Write($buffer, 0, $count)
            $left -= $count
        }
    } finally { $target.Close() }
    $stream = [IO.File]::OpenRead($part)          # what the disk holds, not what was meant to be written
    try { $sum = ([Security.Cryptography.SHA256]::Create()).ComputeHash($stream) } finally { $stream.Close() }
    $sum = ([BitConverter]::ToString($sum) -replace '-', '').ToLower()
    if ($sum -ne $Sha256.ToLower()) { throw "$Path has SHA-256 $sum instead of $Sha256. Send it again." }
    if (Test-Path -LiteralPath $Path) { Remove-Item -LiteralPath $Path -Force }
    Move-Item -LiteralPath $part -Destination $Path
    '{{"path":{0},"sha256":"{1}","size":{2}}}' -f (ConvertTo-JsonString $Path), $sum, $Size
}

function Receive-Files {
    $root = "$env:SystemDrive\imagebuild"
    $files = @(Read-FileList)
    Assert-Workplace $root
    $packed = "$root\receive-$PID.gz"
    try {
        Save-Stream $packed
        $source = New-Object IO.Compression.GZipStream([IO.File]::OpenRead($packed), [IO.Compression.CompressionMode]::Decompress)
        try {
            foreach ($file in $files) { Save-File $source ([string]$file['path']) ([int64]$file['size']) ([string]$file['sha256']) }
            if ($source.ReadByte() -ne -1) { throw 'the stream holds more than the files that were announced' }
        } finally { $source.Close() }
    } finally { if (Test-Path -LiteralPath $packed) { Remove-Item -LiteralPath $packed -Force } }
}

try {
    $received = @(Receive-Files)
    Write-Result ('{"ok":true,"value":{"files":[' + ($received -join ',') + ']}}')
} catch {
    $parts = @($_.Exception.Message, $_.Exception.GetType().FullName, ('Receive-Files:' + $_.InvocationInfo.ScriptLineNumber))
    $texts = @($parts | ForEach-Object { ConvertTo-JsonString $_ })
    Write-Result ('{{"ok":false,"error":{{"message":{0},"type":{1},"where":{2},"hresult":null}}}}' -f $texts)
}
exit 0
