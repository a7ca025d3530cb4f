# traces.ps1 - dot-sourced after the prelude by Clear-Traces, Get-Traces and Start-Generalize: one table of what a build leaves behind, each row
# with how it is found and how it is removed. A row tells names and paths, never a value. PowerShell 2.0 and later; ASCII only.

$Winlogon = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon'
$WindowsUpdate = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate'
$ListenerKey = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WSMAN\Listener'
$CloudbaseKey = 'HKLM:\SOFTWARE\Cloudbase Solutions\Cloudbase-Init'
$AutologonSecret = 'HKLM:\SECURITY\Policy\Secrets\DefaultPassword'      # readable by SYSTEM only

function Remove-Tree([string]$Path) {
    # Not Remove-Item -Recurse: up to 5.1 it follows junctions and empties what they point to. What is in use stays; the caller looks again.
    $item = Get-Item -LiteralPath $Path -Force -ErrorAction SilentlyContinue
    if ($null -eq $item) { return }
    if ($item.PSIsContainer -and ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) -eq 0) {
        foreach ($child in @(Get-ChildItem -LiteralPath $Path -Force -ErrorAction SilentlyContinue)) { if ($null -ne $child) { Remove-Tree ($Path + '\' + $child.Name) } }
    }
    try { if ($item.Attributes -band [IO.FileAttributes]::ReadOnly) { $item.Attributes = [IO.FileAttributes]::Normal }; $item.Delete() } catch { return }
}

function Get-ChildPaths([string]$Folder) {
    foreach ($child in @(Get-ChildItem -LiteralPath $Folder -Force -ErrorAction SilentlyContinue)) { if ($null -ne $child) { $Folder + '\' + $child.Name } }
}

function Select-Existing([string[]]$Paths) {
    foreach ($path in @($Paths)) { if ($path -and (Test-Path -LiteralPath $path)) { $path } }
}

function Get-ProfilePaths([string]$Below) {
    $folders = @(Get-WmiObject Win32_UserProfile | ForEach-Object { [string]$_.LocalPath }) + "$env:SystemDrive\Users\Default"
    foreach ($folder in $folders) { if ($folder) { $folder + '\' + $Below } }
}

function Get-SetValues([string]$Path, [string[]]$Names) {
    foreach ($name in $Names) { if ($null -ne (Get-RegistryValue $Path $name)) { $name } }
}

function Get-BuilderAccount($Parameters) {
    $name = Get-Parameter $Parameters 'account' ''
    if (-not $name) { return }
    foreach ($account in @(Get-WmiObject Win32_UserAccount -Filter 'LocalAccount=True')) { if ($null -ne $account -and $account.Name -eq $name) { return $account } }
}

function Get-BuilderProfiles($Parameters) {
    $folder = Get-Parameter $Parameters 'profile' (Get-Parameter $Parameters 'account' '')
    $account = Get-BuilderAccount $Parameters
    foreach ($one in @(Get-WmiObject Win32_UserProfile)) {
        if ($null -eq $one) { continue }
        if (($folder -and $one.LocalPath -eq "$env:SystemDrive\Users\$folder") -or ($null -ne $account -and $one.SID -eq $account.SID)) { $one }
    }
}

function Get-OurTasks($Parameters) {
    $prefix = Get-Parameter $Parameters 'task_prefix' ''
    if (-not $prefix) { return }
    $scheduler = New-Object -ComObject 'Schedule.Service'
    [void]$scheduler.Connect()
    foreach ($task in @($scheduler.GetFolder('\').GetTasks(1))) {       # 1: hidden ones too
        if ($null -ne $task -and $task.Name.StartsWith($prefix, [StringComparison]::OrdinalIgnoreCase) -and $task.Name -ne (Get-Parameter $Parameters 'own_task' '')) { $task.Name }
    }
}

function Get-OurCertificates($Parameters) {
    $thumbprints = @(Get-ListParameter $Parameters 'certificates')
    if ($thumbprints.Count -eq 0) { return }
    $store = Open-CertificateStore 'My'
    try { foreach ($certificate in @($store.Certificates)) { if ($null -ne $certificate -and ($thumbprints -contains $certificate.Thumbprint -or (Test-Fingerprint $certificate $thumbprints))) { $certificate } } } finally { $store.Close() }
}

function Test-Fingerprint($Certificate, [string[]]$Prints) {
    # Who pinned a certificate knows its SHA-256 (64 digits), not Windows' own thumbprint, which is the SHA-1 (40 digits).
    $long = @($Prints | Where-Object { $_.Length -eq 64 })
    if ($long.Count -eq 0) { return $false }
    $sum = ([Security.Cryptography.SHA256]::Create()).ComputeHash($Certificate.RawData)
    $long -contains ([BitConverter]::ToString($sum) -replace '-', '')
}

function Get-OurFirewallRules($Parameters) {
    $names = @(Get-ListParameter $Parameters 'firewall_rules')
    if ($names.Count -eq 0) { return }
    foreach ($rule in @((New-Object -ComObject HNetCfg.FwPolicy2).Rules)) { if ($null -ne $rule -and $names -contains $rule.Name) { [string]$rule.Name } }
}

function Remove-OurCertificate($Certificate) {
    # certutil leaves the private key behind: its file is named by the key container.
    $key = $null
    try { $key = 'RSA\MachineKeys\' + $Certificate.PrivateKey.CspKeyContainerInfo.UniqueKeyContainerName }
    catch {
        # New-SelfSignedCertificate makes CNG keys, which PrivateKey does not know; .NET 4.6 and later can name their file.
        $extensions = 'Security.Cryptography.X509Certificates.RSACertificateExtensions' -as [type]
        try { $key = 'Keys\' + $extensions::GetRSAPrivateKey($Certificate).Key.UniqueName } catch { $key = $null }
    }
    [void](Invoke-Program 'certutil.exe' @('-delstore', 'My', $Certificate.Thumbprint))
    if ($key -and -not $key.EndsWith('\')) { Remove-Tree "$env:ProgramData\Microsoft\Crypto\$key" }
}

function Get-StoredCredentials($Parameters) {
    # 'target=NAME' is not localised; the words around it are. Only the store of the account that runs this.
    $targets = @(Get-ListParameter $Parameters 'credentials')
    if ($targets.Count -eq 0) { return }
    $lines = (Invoke-Program 'cmdkey.exe' @('/list')).output
    foreach ($target in $targets) {
        foreach ($line in $lines) { if ($line.TrimEnd().EndsWith('target=' + $target, [StringComparison]::OrdinalIgnoreCase)) { $target; break } }
    }
}

function Get-FullEventLogs($Parameters) {
    # Clearing a log writes an event, and Windows goes on writing: a few records are no trace.
    $allowed = Get-Parameter $Parameters 'event_records_allowed' 100
    foreach ($log in @(Get-WinEvent -ListLog * -ErrorAction SilentlyContinue)) { if ($null -ne $log -and $log.RecordCount -gt $allowed) { $log.LogName } }
}

function Assert-TraceParameters($Parameters) {
    # Before anything is removed: what must never be removed.
    foreach ($path in @(Get-ListParameter $Parameters 'paths')) {
        if ($path -notmatch '^[A-Za-z]:\\[^\\]' -or $path -match '[/*?<>|"]|\\\.\.?(\\|$)') { throw "paths: '$path' is not a full path below a drive's root" }
        foreach ($needed in $env:windir, "$env:windir\System32", "$env:SystemDrive\Users", $env:ProgramFiles, [Environment]::GetEnvironmentVariable('ProgramFiles(x86)'), $env:ProgramData) {
            if ($needed -and ($needed + '\').StartsWith($path.TrimEnd('\') + '\', [StringComparison]::OrdinalIgnoreCase)) { throw "paths: '$path' is a part of Windows" }
        }
    }
    foreach ($name in 'account', 'profile') {
        if ((Get-Parameter $Parameters $name '') -match '["/\\\[\]:;|=,+*?<>]|^\.+$') { throw "$name '$($Parameters[$name])' has a character that no account has" }
    }
    if ((Get-Parameter $Parameters 'profile' (Get-Parameter $Parameters 'account' '')) -match '^(Default|Public|All Users|Default User)$') { throw "profile '$($Matches[0])' belongs to Windows" }
    $account = Get-BuilderAccount $Parameters
    if ($null -ne $account -and $account.SID -match '-(500|501|503|504)$') { throw "account '$($account.Name)' is built in (RID $($Matches[1])) and cannot be deleted: leave account out and let the clone set its password" }
    foreach ($thumbprint in @(Get-ListParameter $Parameters 'certificates')) { if ($thumbprint -notmatch '^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$') { throw "certificates: '$thumbprint' is not a thumbprint" } }
    foreach ($transport in @(Get-ListParameter $Parameters 'listeners')) { if ($transport -notmatch '^https?$') { throw "listeners: '$transport' is neither HTTP nor HTTPS" } }
}

function New-Trace([string]$Name, [string]$Weight, [scriptblock]$Find, [scriptblock]$Remove) { @{ name = $Name; weight = $Weight; find = $Find; remove = $Remove } }

function Get-TraceTable {
    # weight: secret (must not be in an image), identity (clones would share it), litter. Order matters: a profile needs its account's SID.
    New-Trace 'tasks' 'identity' { param($p) Get-OurTasks $p } {
        param($p, $found)
        $scheduler = New-Object -ComObject 'Schedule.Service'; [void]$scheduler.Connect()
        foreach ($name in $found) { [void]$scheduler.GetFolder('\').DeleteTask($name, 0) }
    }
    New-Trace 'answer_files' 'secret' {
        param($p)
        $panther = "$env:windir\Panther"
        Select-Existing @("$panther\unattend.xml", "$panther\autounattend.xml", "$panther\unattend-original.xml", "$panther\Unattend\unattend.xml", "$panther\Unattend\autounattend.xml",
            "$env:windir\System32\Sysprep\unattend.xml", "$env:SystemDrive\unattend.xml", "$env:SystemDrive\autounattend.xml")
        # This value comes before every file when setup looks for an answer file.
        if ($null -ne (Get-RegistryValue 'HKLM:\SYSTEM\Setup' 'UnattendFile')) { 'HKLM:\SYSTEM\Setup\UnattendFile' }
    } {
        param($p, $found)
        foreach ($path in $found) {
            if ($path -like 'HKLM:*') { Remove-ItemProperty -LiteralPath 'HKLM:\SYSTEM\Setup' -Name 'UnattendFile' } else { Remove-Tree $path }
        }
    }
    New-Trace 'autologon' 'secret' {
        param($p)
        Get-SetValues $Winlogon @('DefaultPassword', 'AutoLogonCount', 'AutoLogonSID', 'ForceAutoLogon')
        if ([string](Get-RegistryValue $Winlogon 'AutoAdminLogon' '0') -ne '0') { 'AutoAdminLogon' }
        $account = Get-Parameter $p 'account' ''
        if ($account -and [string](Get-RegistryValue $Winlogon 'DefaultUserName' '') -eq $account) { 'DefaultUserName' }
        # Not Test-Path: it says yes to what it may not open.
        try { if ($null -ne (Get-Item -LiteralPath $AutologonSecret -ErrorAction Stop)) { 'LSA secret DefaultPassword' } } catch { return }
    } {
        param($p, $found)
        foreach ($name in $found) {
            if ($name -like 'LSA*') { Remove-Item -LiteralPath $AutologonSecret -Recurse -Force } else { Remove-ItemProperty -LiteralPath $Winlogon -Name $name -Force }
        }
    }
    New-Trace 'credentials' 'secret' { param($p) Get-StoredCredentials $p } {
        param($p, $found)
        foreach ($target in $found) { [void](Invoke-Program 'cmdkey.exe' @("/delete:$target")) }
    }
    New-Trace 'registry_values' 'secret' {
        param($p)
        foreach ($value in @(Get-ListParameter $p 'registry_values')) { if ($null -ne (Get-RegistryValue $value['path'] $value['name'])) { $value['path'] + '\' + $value['name'] } }
    } {
        param($p, $found)
        foreach ($value in @(Get-ListParameter $p 'registry_values')) {
            if ($found -contains ($value['path'] + '\' + $value['name'])) { Remove-ItemProperty -LiteralPath $value['path'] -Name $value['name'] -Force }
        }
    }
    New-Trace 'profile' 'identity' {
        param($p)
        $folder = Get-Parameter $p 'profile' (Get-Parameter $p 'account' '')
        $paths = @(Get-BuilderProfiles $p | ForEach-Object { [string]$_.LocalPath })
        if ($folder) { $paths += @(Select-Existing "$env:SystemDrive\Users\$folder") }
        $paths | Select-Object -Unique
    } {
        param($p, $found)
        for ($try = 0; $try -lt 12 -and @(Get-BuilderProfiles $p | Where-Object { $_.Loaded }).Count -gt 0; $try++) { Start-Sleep -Seconds 5 }   # the session that started us closes
        foreach ($one in @(Get-BuilderProfiles $p)) { if ($null -ne $one -and -not $one.Loaded) { [void]$one.Delete() } }
        if (@(Get-BuilderProfiles $p).Count -eq 0) { foreach ($path in $found) { Remove-Tree $path } }
    }
    New-Trace 'account' 'secret' { param($p) $account = Get-BuilderAccount $p; if ($null -ne $account) { [string]$account.Name } } {
        param($p, $found)
        $computer = Get-DirectoryObject "WinNT://$env:COMPUTERNAME,computer"
        foreach ($name in $found) { [void]$computer.Delete('user', $name) }
    }
    New-Trace 'listeners' 'identity' {
        param($p)
        foreach ($transport in @(Get-ListParameter $p 'listeners')) { if (Test-Path -LiteralPath "$ListenerKey\*+$transport") { $transport } }
        # The way in through the firewall goes with the listener; the prefix tells the two apart.
        foreach ($rule in @(Get-OurFirewallRules $p)) { if ($rule) { "firewall rule $rule" } }
    } {
        param($p, $found)
        foreach ($name in @($found | Where-Object { $_ -like 'firewall rule *' })) { [void](New-Object -ComObject HNetCfg.FwPolicy2).Rules.Remove($name.Substring(14)) }
        foreach ($transport in @($found | Where-Object { $_ -notlike 'firewall rule *' })) {
            try { [void](New-Object -ComObject 'WSMan.Automation').CreateSession().Delete("winrm/config/Listener?Address=*+Transport=$transport") } catch { Write-Step "the WinRM service did not remove its $transport listener: removing its key" }
            if (Test-Path -LiteralPath "$ListenerKey\*+$transport") { Remove-Item -LiteralPath "$ListenerKey\*+$transport" -Recurse -Force }
        }
    }
    New-Trace 'certificates' 'secret' { param($p) Get-OurCertificates $p | ForEach-Object { [string]$_.Thumbprint } } {
        param($p, $found)
        foreach ($certificate in @(Get-OurCertificates $p)) { Remove-OurCertificate $certificate }
    }
    New-Trace 'cloudbase_init' 'identity' {
        param($p)
        # What it remembers of the builder's own metadata: clones must not inherit "done".
        if (Test-Path -LiteralPath $CloudbaseKey) { foreach ($name in @((Get-Item -LiteralPath $CloudbaseKey).GetSubKeyNames())) { "$CloudbaseKey\$name" } }
        Get-ChildPaths "$env:ProgramFiles\Cloudbase Solutions\Cloudbase-Init\log"
    } {
        param($p, $found)
        foreach ($path in $found) { if ($path -like 'HKLM:*') { Remove-Item -LiteralPath $path -Recurse -Force } else { Remove-Tree $path } }
    }
    New-Trace 'update_identity' 'identity' { param($p) Get-SetValues $WindowsUpdate @('SusClientId', 'SusClientIDValidation', 'AccountDomainSid', 'PingID') } {
        param($p, $found)
        Stop-Service -Name 'wuauserv' -Force        # it writes its identity back while it runs
        foreach ($name in $found) { Remove-ItemProperty -LiteralPath $WindowsUpdate -Name $name -Force }
    }
    New-Trace 'ssh_host_keys' 'identity' { param($p) Get-ChildPaths "$env:ProgramData\ssh" | Where-Object { (Split-Path -Leaf $_) -like 'ssh_host_*' } } { param($p, $found) foreach ($path in $found) { Remove-Tree $path } }
    New-Trace 'powershell_history' 'secret' { param($p) Select-Existing @(Get-ProfilePaths 'AppData\Roaming\Microsoft\Windows\PowerShell\PSReadLine\ConsoleHost_history.txt') } { param($p, $found) foreach ($path in $found) { Remove-Tree $path } }
    New-Trace 'recent_files' 'litter' { param($p) foreach ($folder in @(Get-ProfilePaths 'AppData\Roaming\Microsoft\Windows\Recent')) { Get-ChildPaths $folder } } { param($p, $found) foreach ($path in $found) { Remove-Tree $path } }
    New-Trace 'temp' 'litter' {
        param($p)
        foreach ($folder in @("$env:windir\Temp") + @(Get-ProfilePaths 'AppData\Local\Temp')) { Get-ChildPaths $folder }
    } { param($p, $found) foreach ($path in $found) { Remove-Tree $path } }
    New-Trace 'event_logs' 'litter' { param($p) Get-FullEventLogs $p } {
        param($p, $found)
        foreach ($name in $found) { [void](Invoke-Program 'wevtutil.exe' @('clear-log', $name)) }
    }
    New-Trace 'paths' 'secret' { param($p) Select-Existing @(Get-ListParameter $p 'paths') } { param($p, $found) foreach ($path in $found) { Remove-Tree $path } }
}

function Invoke-TraceTable($Parameters, [string[]]$Keep, [string[]]$Only, [bool]$Remove) {
    # One report a row: what was found, and (with Remove) what is left after removing it.
    foreach ($trace in @(Get-TraceTable)) {
        if ($Keep -contains $trace.name -or (@($Only).Count -gt 0 -and -not ($Only -contains $trace.name))) { continue }
        $report = @{ name = $trace.name; weight = $trace.weight; found = @(); left = @(); words = $null }
        try {
            $report.found = @(& $trace.find $Parameters | Where-Object { $_ } | Select-Object -Unique)
            if ($Remove -and $report.found.Count -gt 0) {
                Write-Step ('clearing ' + $trace.name)
                & $trace.remove $Parameters $report.found | Out-Null
            }
        } catch { $report.words = [string]$_.Exception.Message }
        try { if ($report.found.Count -gt 0) { $report.left = @(& $trace.find $Parameters | Where-Object { $_ } | Select-Object -Unique) } } catch { $report.words = [string]$_.Exception.Message }
        $report
    }
}
